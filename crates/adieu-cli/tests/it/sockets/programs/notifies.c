// What a call that waits for a supervisor does when a signal comes every 10 ms, with and without
// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV. The supervisor here takes the call at once and answers 200 ms later.
//
// usage: notifies plain|killable
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static void tick(int signal) { (void)signal; }

static void child(void) {
  struct sigaction action = {.sa_handler = tick};
  sigaction(SIGALRM, &action, NULL);
  int socket_ = socket(AF_INET, SOCK_STREAM, 0);
  struct itimerval every = {{0, 10000}, {0, 10000}};
  setitimer(ITIMER_REAL, &every, NULL);
  printf("%s\n", listen(socket_, 1) ? strerror(errno) : "success");
  fflush(stdout);
}

int main(int argc, char **argv) {
  unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  if (argc == 2 && !strcmp(argv[1], "killable")) flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_listen, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
  struct sock_fprog program = {4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Shared with the child; this process makes no call that is reported.
  int notify = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (notify < 0) return perror("seccomp"), 1;
  pid_t pid = fork();
  if (!pid) {
    child();
    _exit(0);
  }
  // A call that a signal has interrupted is gone; its restart, if any, is another one.
  struct pollfd wait = {notify, POLLIN};
  while (poll(&wait, 1, 500) == 1 && wait.revents & POLLIN) {
    struct seccomp_notif call;
    memset(&call, 0, sizeof call);
    if (ioctl(notify, SECCOMP_IOCTL_NOTIF_RECV, &call)) continue;
    usleep(200000);
    struct seccomp_notif_resp answer = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(notify, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
  waitpid(pid, NULL, 0);
}
