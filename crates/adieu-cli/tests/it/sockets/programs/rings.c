// Accepts, reads and writes by io_uring, on sockets without O_NONBLOCK. Binds and listens as others do.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 256 };
enum step { READS, WRITES, WRITES_LAST };

struct connection {
  int fd;
  enum step step;
  size_t read, size, written;
  char request[16384], answer[256];
};

static int ring, listener;
static unsigned mask, waiting, *sq_tail, *sq_array, *cq_head, *cq_tail, cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void *map(size_t size, off_t offset) {
  void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
  if (at == MAP_FAILED) fail("mmap");
  return at;
}

static void make_ring(void) {
  struct io_uring_params p;
  memset(&p, 0, sizeof p);
  ring = syscall(SYS_io_uring_setup, ENTRIES, &p);
  if (ring < 0) fail("io_uring_setup");
  char *sq = map(p.sq_off.array + p.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
  char *cq = map(p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
  sqes = map(p.sq_entries * sizeof *sqes, IORING_OFF_SQES);
  sq_tail = (unsigned *)(sq + p.sq_off.tail);
  sq_array = (unsigned *)(sq + p.sq_off.array);
  mask = *(unsigned *)(sq + p.sq_off.ring_mask);
  cq_head = (unsigned *)(cq + p.cq_off.head);
  cq_tail = (unsigned *)(cq + p.cq_off.tail);
  cq_mask = *(unsigned *)(cq + p.cq_off.ring_mask);
  cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

static void order(int opcode, int fd, void *at, size_t size, struct connection *for_whom) {
  unsigned slot = *sq_tail & mask;
  struct io_uring_sqe *sqe = &sqes[slot];
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = opcode;
  sqe->fd = fd;
  sqe->addr = (unsigned long)at;
  sqe->len = size;
  sqe->msg_flags = opcode == IORING_OP_SEND ? MSG_NOSIGNAL : 0;
  sqe->user_data = (unsigned long)for_whom;
  sq_array[slot] = slot;
  __atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
  if (++waiting == ENTRIES) {
    if (syscall(SYS_io_uring_enter, ring, waiting, 0, 0, NULL, 0) < 0) fail("io_uring_enter");
    waiting = 0;
  }
}

static void go_on(struct connection *c) {
  if (c->step == READS)
    order(IORING_OP_RECV, c->fd, c->request + c->read, sizeof c->request - 1 - c->read, c);
  else
    order(IORING_OP_SEND, c->fd, c->answer + c->written, c->size - c->written, c);
}

static void done(struct connection *c, int result) {
  if (!c) {
    order(IORING_OP_ACCEPT, listener, NULL, 0, NULL);
    if (result < 0) return;
    if (!(c = calloc(1, sizeof *c))) fail("calloc");
    c->fd = result;
    go_on(c);
    return;
  }
  if (c->step == READS && result > 0) {
    c->read += result;
    c->request[c->read] = 0;
    if (strstr(c->request, "\r\n\r\n")) {
      c->step = strcasestr(c->request, "connection: close") ? WRITES_LAST : WRITES;
      const char *generation = getenv("ADIEU_GENERATION");
      char body[64];
      int length = snprintf(body, sizeof body, "generation %s\n", generation ? generation : "0");
      const char *head = "HTTP/1.1 200 OK\r\nContent-Length: ";
      c->size = snprintf(c->answer, sizeof c->answer, "%s%d\r\n\r\n%s", head, length, body);
      c->read = c->written = 0;
    }
    go_on(c);
  } else if (c->step != READS && result > 0 && (c->written += result) < c->size) {
    go_on(c);
  } else if (c->step == WRITES && result > 0) {
    c->step = READS;
    go_on(c);
  } else {
    close(c->fd);
    free(c);
  }
}

int main(void) {
  int one = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  at.sin_port = htons(atoi(getenv("PORT")));
  listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) fail("listen");
  make_ring();
  order(IORING_OP_ACCEPT, listener, NULL, 0, NULL);
  for (;;) {
    if (syscall(SYS_io_uring_enter, ring, waiting, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) fail("io_uring_enter");
    waiting = 0;
    while (*cq_head != __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE)) {
      struct io_uring_cqe cqe = cqes[*cq_head & cq_mask];
      __atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
      done((struct connection *)cqe.user_data, cqe.res);
    }
  }
}
