/* A disk that fails, for one file of a process in the lab, and for the files beside it: part of the library that volatile-cache.c makes.
 *
 * TWINSTEP_DISK_FAULTS names a file of 4096 bytes that the lab writes from outside and that is mapped here (disk-fault-file.ts
 * has the same layout): which file, by device and inode, and what its disk does; which files beside it, and what theirs does (no read
 * errors). All other files of the process are untouched.
 *
 *   read error   a read that touches one of the ranges fails with EIO, until the range was written
 *   write error  EIO     flush error  EIO     full  every write fails with ENOSPC
 *   hang         no request returns until it ends; then each is done as if nothing had been
 *   slow         each request takes so much longer */
#define _GNU_SOURCE
#include "disk-faults.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_BYTES 4096
#define MAGIC 0x31544c5541465754ull /* "TWFAULT1" */
#define MAX_RANGES 64
#define MAX_FILES 8
/* A hang looks again this often. */
#define LOOK_NS 2000000
enum { READ_ERROR = 1, WRITE_ERROR = 2, FLUSH_ERROR = 4, HANG = 8, SLOW = 16, FULL = 32 };

struct range { uint64_t start, end; };
struct control {
  uint64_t magic, dev, ino;
  volatile uint32_t flags;
  uint32_t slow_ms;
  struct range ranges[MAX_RANGES]; /* end 0: none */
  volatile uint32_t file_flags;
  uint32_t reserved;
  uint64_t file_dev, files[MAX_FILES]; /* inode 0: none */
};

static struct control *control;
static pthread_mutex_t ranges_lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("TWINSTEP_DISK_FAULTS");
  if (!path) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  struct stat s;
  void *at = fstat(fd, &s) == 0 && s.st_size >= CONTROL_BYTES ? mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  syscall(SYS_close, fd);
  if (at != MAP_FAILED) control = at;
}

/* What the disk below a file does; NULL: what it should. */
static volatile uint32_t *faults_of(int fd) {
  if (!control || control->magic != MAGIC || !(control->flags | control->file_flags)) return NULL;
  int saved = errno;
  struct stat s;
  int is_open = fstat(fd, &s) == 0;
  errno = saved;
  if (!is_open) return NULL;
  if (s.st_dev == control->dev && s.st_ino == control->ino) return control->flags ? &control->flags : NULL;
  if (!control->file_flags || s.st_dev != control->file_dev) return NULL;
  for (int i = 0; i < MAX_FILES; i++)
    if (control->files[i] && s.st_ino == control->files[i]) return &control->file_flags;
  return NULL;
}

static void pause_ns(uint64_t ns) {
  struct timespec left = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
  while (nanosleep(&left, &left) && errno == EINTR) continue;
}

static int touches(uint64_t start, uint64_t end) {
  for (int i = 0; i < MAX_RANGES; i++)
    if (control->ranges[i].end > start && control->ranges[i].start < end) return 1;
  return 0;
}

int disk_fault(int fd, enum disk_operation operation, uint64_t offset, uint64_t length) {
  volatile uint32_t *faults = faults_of(fd);
  if (!faults) return 0;
  int saved = errno;
  if (*faults & SLOW) pause_ns(control->slow_ms * 1000000ull);
  while (*faults & HANG) pause_ns(LOOK_NS);
  uint32_t flags = *faults;
  errno = saved;
  if (operation == DISK_READ && (flags & READ_ERROR)) {
    pthread_mutex_lock(&ranges_lock);
    int broken = touches(offset, offset + length);
    pthread_mutex_unlock(&ranges_lock);
    if (broken) return errno = EIO;
  }
  if (operation == DISK_WRITE && (flags & FULL)) return errno = ENOSPC;
  if (operation == DISK_WRITE && (flags & WRITE_ERROR)) return errno = EIO;
  if (operation == DISK_FLUSH && (flags & FLUSH_ERROR)) return errno = EIO;
  return 0;
}

void disk_rewritten(int fd, uint64_t offset, uint64_t length) {
  volatile uint32_t *faults = faults_of(fd);
  if (!faults || !(*faults & READ_ERROR)) return;
  uint64_t end = offset + length;
  pthread_mutex_lock(&ranges_lock);
  for (int i = 0; i < MAX_RANGES; i++) {
    struct range *r = &control->ranges[i];
    if (r->end <= offset || r->start >= end) continue;
    struct range tail = { end, r->end };
    if (r->start < offset) r->end = offset;
    else r->end = 0;
    if (tail.start >= tail.end) continue;
    for (int k = 0; k < MAX_RANGES; k++)
      if (!control->ranges[k].end) {
        control->ranges[k] = tail;
        break;
      }
  }
  pthread_mutex_unlock(&ranges_lock);
}

static uint64_t position(int fd) {
  int saved = errno;
  long at = syscall(SYS_lseek, fd, 0L, SEEK_CUR);
  errno = saved;
  return at < 0 ? 0 : (uint64_t)at;
}

static uint64_t total(const struct iovec *v, int count) {
  uint64_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += v[i].iov_len;
  return bytes;
}

/* Called for every socket and pipe as well: it must cost nothing there. */
ssize_t read(int fd, void *data, size_t bytes) { return faults_of(fd) && disk_fault(fd, DISK_READ, position(fd), bytes) ? -1 : syscall(SYS_read, fd, data, bytes); }
ssize_t pread64(int fd, void *data, size_t bytes, off64_t offset) { return disk_fault(fd, DISK_READ, (uint64_t)offset, bytes) ? -1 : syscall(SYS_pread64, fd, data, bytes, offset); }
ssize_t preadv64(int fd, const struct iovec *v, int count, off64_t offset) { return disk_fault(fd, DISK_READ, (uint64_t)offset, total(v, count)) ? -1 : syscall(SYS_preadv, fd, v, (long)count, offset, 0L); }
ssize_t pread(int fd, void *data, size_t bytes, off_t offset) { return pread64(fd, data, bytes, offset); }
ssize_t preadv(int fd, const struct iovec *v, int count, off_t offset) { return preadv64(fd, v, count, offset); }
