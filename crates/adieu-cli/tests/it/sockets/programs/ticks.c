// Binds and listens while a signal comes every 10 ms, and says what became of the calls and how long they took.
//
// While `bind` waits it prints "tick" at each signal.
//
// usage: ticks HOST PORT WAIT restart|interrupt
//   WAIT: it waits for this file before it binds. interrupt: a call that a signal interrupts returns EINTR.
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t binding;

static void tick(int signal) {
  (void)signal;
  int error = errno;
  if (binding && write(1, "tick\n", 5) < 0) binding = 0;
  errno = error;
}

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void say(const char *what, int result, long before) {
  int error = errno;
  printf("%s: %s after %ld ms\n", what, result ? strerror(error) : "success", now() - before);
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  struct sigaction action = {.sa_handler = tick, .sa_flags = strcmp(argv[4], "restart") ? 0 : SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval every = {{0, 10000}, {0, 10000}};
  setitimer(ITIMER_REAL, &every, NULL);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &address.sin_addr);
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  printf("binds soon\n");
  fflush(stdout);
  while (access(argv[3], F_OK)) usleep(1000);
  long before = now();
  binding = 1;
  int bound = bind(listener, (struct sockaddr *)&address, sizeof address);
  binding = 0;
  say("bind", bound, before);
  before = now();
  say("listen", listen(listener, 128), before);
  every = (struct itimerval){0};
  setitimer(ITIMER_REAL, &every, NULL);
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) continue;
    char request[4096] = {0};
    size_t length = 0;
    ssize_t more = 1;
    /* The whole request, in however many pieces: closing with some of it unread resets the connection. */
    while (!strstr(request, "\r\n\r\n") && length < sizeof request - 1 && more > 0) {
      more = read(connection, request + length, sizeof request - 1 - length);
      if (more > 0) length += more;
    }
    if (length > 0)
      dprintf(connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nticks");
    close(connection);
  }
}
