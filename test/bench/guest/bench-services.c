// The guest's part of the benchmark, beside the lab's own server. One thread per connection; all ports TCP.
//   9020  lines: "cpu <ms>" and "fsync <ms>": works that long, then answers "ok <operations>"
//   9021  source: sends as fast as it is read, the same bytes in both replicas
//   9022  sink: reads, and says after each 64 KiB how many bytes it has: "<bytes>\n"
// `bench-services postgres <root> <program> <arguments>`: becomes PostgreSQL's user in that root and runs it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define POSTGRES_ID 105       // build.ts makes the same user
#define BLOCK_BYTES 65536
#define REPORT_BYTES 65536    // of the sink: often enough for seconds of a slow link, seldom against its frames
#define FSYNC_FILE_BYTES (1 << 20)
#define CPU_STEP 20000        // loops between two looks at the clock: well below a millisecond, also when emulated

static void die(const char *what) {
  printf("GUEST FAILED bench-services: ");
  fflush(stdout);
  perror(what);
  exit(1);
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static int send_all(int fd, const void *bytes, size_t length) {
  for (const char *at = bytes; length > 0;) {
    ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
    if (n <= 0) return 0;
    at += n;
    length -= (size_t)n;
  }
  return 1;
}

// The result is kept where the compiler cannot see that nobody reads it.
static volatile uint32_t cpu_result;

static uint64_t work_cpu(int64_t for_ms) {
  uint64_t operations = 0;
  uint32_t x = 1;
  for (int64_t end = now_ms() + for_ms; now_ms() < end; operations += CPU_STEP)
    for (int i = 0; i < CPU_STEP; i++) x ^= x << 13, x ^= x >> 17, x ^= x << 5;
  cpu_result = x;
  return operations;
}

// 4 KiB and fsync, over and over in one file: what a database's log does.
static uint64_t work_fsync(int64_t for_ms) {
  static char block[4096];
  int fd = open("/data/bench-fsync", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return 0;
  uint64_t operations = 0;
  for (int64_t end = now_ms() + for_ms; now_ms() < end; operations++) {
    memcpy(block, &operations, sizeof operations);
    if (pwrite(fd, block, sizeof block, (off_t)(operations * sizeof block % FSYNC_FILE_BYTES)) != sizeof block || fsync(fd)) break;
  }
  close(fd);
  return operations;
}

static void serve_control(int fd) {
  char line[64];
  size_t used = 0;
  for (;;) {
    ssize_t n = recv(fd, line + used, sizeof line - 1 - used, 0);
    if (n <= 0) return;
    used += (size_t)n;
    line[used] = 0;
    char *end = strchr(line, '\n');
    if (!end) {
      if (used == sizeof line - 1) return;
      continue;
    }
    *end = 0;
    char answer[64];
    long ms = 0;
    if (sscanf(line, "cpu %ld", &ms) == 1 && ms > 0) snprintf(answer, sizeof answer, "ok %llu\n", (unsigned long long)work_cpu(ms));
    else if (sscanf(line, "fsync %ld", &ms) == 1 && ms > 0) snprintf(answer, sizeof answer, "ok %llu\n", (unsigned long long)work_fsync(ms));
    else snprintf(answer, sizeof answer, "error cpu <ms> or fsync <ms>\n");
    if (!send_all(fd, answer, strlen(answer))) return;
    used = 0;
  }
}

static void serve_source(int fd) {
  static unsigned char block[BLOCK_BYTES]; // written the same by every thread
  for (size_t i = 0; i < sizeof block; i++) block[i] = (unsigned char)(i * 31 + (i >> 8));
  while (send_all(fd, block, sizeof block)) continue;
}

static void serve_sink(int fd) {
  char *block = malloc(BLOCK_BYTES), text[24];
  uint64_t bytes = 0, told = 0;
  for (ssize_t n; block && (n = recv(fd, block, BLOCK_BYTES, 0)) > 0;) {
    bytes += (uint64_t)n;
    if (bytes - told < REPORT_BYTES) continue;
    told = bytes - bytes % REPORT_BYTES; // whole steps only: both replicas say the same however their reads are cut
    int length = snprintf(text, sizeof text, "%llu\n", (unsigned long long)told);
    if (!send_all(fd, text, (size_t)length)) break;
  }
  free(block);
}

struct service {
  uint16_t port;
  void (*serve)(int fd);
};

struct connection {
  void (*serve)(int fd);
  int fd;
};

static void *run_connection(void *argument) {
  struct connection *c = argument;
  c->serve(c->fd);
  close(c->fd);
  free(c);
  return NULL;
}

static void *listen_for(void *argument) {
  const struct service *service = argument;
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(service->port)};
  if (listener < 0) die("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) die("listen");
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = malloc(sizeof *c);
    pthread_t thread;
    if (c) *c = (struct connection){service->serve, fd};
    if (!c || pthread_create(&thread, NULL, run_connection, c)) {
      free(c);
      close(fd);
    } else pthread_detach(thread);
  }
}

static void run_postgres(char **arguments) {
  if (chroot(arguments[0]) || chdir("/") || setgroups(0, NULL) || setgid(POSTGRES_ID) || setuid(POSTGRES_ID)) die("postgres' user");
  execv(arguments[1], arguments + 1);
  die(arguments[1]);
}

int main(int count, char **arguments) {
  static struct service services[] = {{9020, serve_control}, {9021, serve_source}, {9022, serve_sink}};
  pthread_t thread;
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
  if (count > 3 && !strcmp(arguments[1], "postgres")) run_postgres(arguments + 2);
  for (size_t i = 0; i < sizeof services / sizeof *services; i++)
    if (pthread_create(&thread, NULL, listen_for, &services[i])) die("thread");
  for (;;) pause();
}
