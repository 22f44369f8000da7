// Binds and listens in a way that no filter of system calls sees, and answers.
//
// usage: unseen PORT hidden|plain     (hidden: by io_uring; where the kernel is too old for that, as a 32-bit program)
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Since Linux 6.11.
enum { OP_BIND = 56, OP_LISTEN = 57 };

static int by_ring(struct io_uring_sqe order) {
  struct io_uring_params p;
  memset(&p, 0, sizeof p);
  int ring = syscall(SYS_io_uring_setup, 1, &p);
  if (ring < 0) return -errno;
  size_t size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
  char *sq = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
  size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
  char *cq = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
  struct io_uring_sqe *sqe =
      mmap(NULL, sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
  if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED) return -errno;
  *sqe = order;
  *(unsigned *)(sq + p.sq_off.array) = 0;
  __atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -errno;
  int result = ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
  close(ring);
  return result;
}

#ifdef __x86_64__
static int by_32_bit_call(int number, int fd, const void *address, int length) {
  int result;
  // Pointers have to fit.
  char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (address) memcpy(low, address, length);
  long second = address ? (long)low : length;
  __asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(fd), "c"(second), "d"(length) : "memory");
  return result;
}
#else
static int by_32_bit_call(int number, int fd, const void *address, int length) { return -ENOSYS; }
#endif

static void check(const char *what, int result) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, strerror(-result));
  exit(98);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (!strcmp(argv[2], "plain")) {
    check("bind", bind(listener, (struct sockaddr *)&address, sizeof address) ? -errno : 0);
    check("listen", listen(listener, 1024) ? -errno : 0);
  } else {
    struct io_uring_sqe order = {.opcode = OP_BIND, .fd = listener, .addr = (long)&address, .off = sizeof address};
    int result = by_ring(order);
    if (result == -EINVAL || result == -ENOSYS || result == -EPERM) {
      check("bind", by_32_bit_call(361, listener, &address, sizeof address));
      check("listen", by_32_bit_call(363, listener, NULL, 1024));
    } else {
      check("bind", result);
      check("listen", by_ring((struct io_uring_sqe){.opcode = OP_LISTEN, .fd = listener, .len = 1024}));
    }
  }
  const char *generation = getenv("ADIEU_GENERATION");
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) continue;
    char request[4096];
    if (read(connection, request, sizeof request) > 0)
      dprintf(connection, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\ngeneration %.1s", generation ? generation : "0");
    close(connection);
  }
}
