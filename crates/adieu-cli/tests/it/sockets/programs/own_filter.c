// Asks for a seccomp listener of its own, as container runtimes and sandboxes do, says what it got, and becomes COMMAND.
//
// usage: own_filter COMMAND
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {1, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int got = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  printf("own listener: %s\n", got < 0 ? strerror(errno) : "success");
  fflush(stdout);
  if (argc < 2) return 0;
  execvp(argv[1], argv + 1);
  return 127;
}
