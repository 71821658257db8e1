/* A disk with a volatile write cache, for a process in the lab: loaded with LD_PRELOAD, the process itself is unchanged.
 *
 * Killing a process loses nothing it has written: the page cache belongs to the host, which lives on. A power failure
 * does lose what was not flushed. So before each write to a file below TWINSTEP_VOLATILE_DIRS (directories, separated by
 * ':') this library appends what the write replaces to an undo log in TWINSTEP_VOLATILE_LOG, a directory outside the
 * CoServer; fsync, fdatasync and O_DSYNC forget what they made durable. At a power failure the lab undoes a random part
 * of what is left (power-loss.ts; the format is in undo-log.ts).
 *
 * What Node 24 calls for its files (traced): open64, pwrite64, pwritev64, write, writev, ftruncate64, fsync, fdatasync.
 * Left out, so durable at once: rename, unlink, mkdir, truncate by path, copy_file_range, sendfile, reflinks, mmap.
 * Children of the process are not covered: LD_PRELOAD is taken out of the environment when it is loaded. */
#define _GNU_SOURCE
#include "disk-faults.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_DIRS 8
#define BUCKETS 1024
#define HEADER_BYTES 64
/* The cache of a disk is finite: past this many bytes per file all of it counts as written to the medium. */
#define CACHE_BYTES (64u << 20)
#define MAGIC 0x314f444e55575400ull /* "\0TWUNDO1" */
#define RECORD_MAGIC 0x43455255u    /* "UREC" */
enum { KIND_WRITE = 1, KIND_TRUNCATE = 2, KIND_SYNCED = 3 };

struct header { uint64_t magic, dev, ino, born_ns; volatile uint64_t start, end; uint64_t reserved[2]; };
struct record { uint32_t magic, kind; uint64_t offset, length, size_before, old_length; };

struct file {
  struct file *next;
  uint64_t dev, ino, born_ns;
  int log_fd, read_fd;
  struct header *header;
  uint64_t resets; /* how often the log started over: positions of before mean nothing after */
  pthread_mutex_t lock;
};

static char *dirs[MAX_DIRS];
static uint64_t dir_devs[MAX_DIRS];
static int dir_count;
static const char *log_dir;
static struct file *files[BUCKETS];
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;

static void fatal(const char *what, const char *name) {
  dprintf(2, "volatile-cache: %s %s: %s\n", what, name, strerror(errno));
  _exit(121);
}

static uint64_t device_of(const struct statx *s) { return ((uint64_t)s->stx_dev_major << 32) | s->stx_dev_minor; }
static uint64_t born_of(const struct statx *s) { return (uint64_t)s->stx_btime.tv_sec * 1000000000ull + s->stx_btime.tv_nsec; }
static int look(int fd, const char *path, struct statx *s) {
  return (int)syscall(SYS_statx, fd, path, *path ? 0 : AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_SIZE | STATX_BTIME, s);
}

__attribute__((constructor)) static void begin(void) {
  unsetenv("LD_PRELOAD");
  const char *list = getenv("TWINSTEP_VOLATILE_DIRS");
  const char *log = getenv("TWINSTEP_VOLATILE_LOG");
  if (!list || !log) return;
  char *copy = strdup(list), *rest = copy;
  for (char *dir; (dir = strsep(&rest, ":"));) {
    if (!*dir) continue;
    if (dir_count == MAX_DIRS) { errno = E2BIG; fatal("too many directories in", "TWINSTEP_VOLATILE_DIRS"); }
    struct statx s;
    if (look(AT_FDCWD, dir, &s)) fatal("cannot look at", dir);
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/') dir[--length] = 0;
    dirs[dir_count] = dir;
    dir_devs[dir_count++] = device_of(&s);
  }
  log_dir = strdup(log);
}

static int is_below(const char *path) {
  for (int i = 0; i < dir_count; i++) {
    size_t n = strlen(dirs[i]);
    if (!strncmp(path, dirs[i], n) && path[n] == '/') return 1;
  }
  return 0;
}

static void start_over(struct file *f) {
  f->header->end = HEADER_BYTES; /* end first: a kill between the two leaves an empty log, never a wrong one */
  f->header->start = HEADER_BYTES;
  f->resets++;
}

static struct file *open_log(int fd, const struct statx *s) {
  char name[512];
  snprintf(name, sizeof name, "%s/%llu-%llu.undo", log_dir, (unsigned long long)device_of(s), (unsigned long long)s->stx_ino);
  struct file *f = calloc(1, sizeof *f);
  if (!f) fatal("no memory for", name);
  f->dev = device_of(s);
  f->ino = s->stx_ino;
  f->born_ns = born_of(s);
  pthread_mutex_init(&f->lock, NULL);
  f->log_fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (f->log_fd < 0) fatal("cannot open", name);
  struct stat log;
  if (fstat(f->log_fd, &log)) fatal("cannot look at", name);
  if (log.st_size < HEADER_BYTES && syscall(SYS_ftruncate, f->log_fd, (long)HEADER_BYTES)) fatal("cannot size", name);
  f->header = mmap(NULL, HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->log_fd, 0);
  if (f->header == MAP_FAILED) fatal("cannot map", name);
  /* Its own descriptor: the program's may be write-only or O_DIRECT. */
  char self[64];
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  f->read_fd = (int)syscall(SYS_openat, AT_FDCWD, self, O_RDONLY | O_CLOEXEC, 0);
  if (f->read_fd < 0) fatal("cannot read", name);
  struct header *h = f->header;
  if (h->magic != MAGIC || h->ino != f->ino || h->born_ns != f->born_ns) { /* new, or of an older file with this number */
    h->magic = 0;
    h->dev = f->dev;
    h->ino = f->ino;
    h->born_ns = f->born_ns;
    start_over(f);
    h->magic = MAGIC;
  }
  return f;
}

/* The file behind a descriptor if its writes are to be recorded, locked; NULL otherwise. */
static struct file *tracked(int fd, struct statx *s) {
  if (!log_dir) return NULL;
  int saved = errno, same_device = 0;
  if (look(fd, "", s)) { errno = saved; return NULL; }
  if (!S_ISREG(s->stx_mode)) return NULL;
  uint64_t dev = device_of(s);
  for (int i = 0; i < dir_count; i++) same_device |= dir_devs[i] == dev;
  if (!same_device) return NULL;
  unsigned bucket = (unsigned)((s->stx_ino ^ dev) % BUCKETS);
  pthread_mutex_lock(&files_lock);
  struct file *f = files[bucket];
  while (f && !(f->ino == s->stx_ino && f->dev == dev && f->born_ns == born_of(s))) f = f->next;
  if (!f) {
    char self[64], path[4096];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(self, path, sizeof path - 1);
    if (n > 0) {
      path[n] = 0;
      if (is_below(path)) {
        /* The number was another file's before: that one is gone, and its descriptors with it. */
        for (struct file **at = &files[bucket]; *at; at = &(*at)->next)
          if ((*at)->ino == s->stx_ino && (*at)->dev == dev) {
            struct file *old = *at;
            *at = old->next;
            munmap(old->header, HEADER_BYTES);
            syscall(SYS_close, old->log_fd);
            syscall(SYS_close, old->read_fd);
            free(old);
            break;
          }
        f = open_log(fd, s);
        f->next = files[bucket];
        files[bucket] = f;
      }
    }
  }
  pthread_mutex_unlock(&files_lock);
  errno = saved;
  if (!f) return NULL;
  pthread_mutex_lock(&f->lock);
  if (look(fd, "", s)) s->stx_size = 0; /* the size may have changed while we waited for the lock */
  return f;
}

static __thread char *buffer;
static __thread size_t buffer_bytes;

/* Appends one record with what the file holds in [offset, offset + old_length). False: errno says why. */
static int append(struct file *f, uint32_t kind, uint64_t offset, uint64_t length, uint64_t size_before, uint64_t old_length) {
  size_t need = sizeof(struct record) + old_length;
  if (old_length > CACHE_BYTES) { start_over(f); return 1; }
  if (f->header->end - HEADER_BYTES + need > CACHE_BYTES) start_over(f);
  if (buffer_bytes < need) {
    char *bigger = realloc(buffer, need);
    if (!bigger) { errno = ENOMEM; return 0; }
    buffer = bigger;
    buffer_bytes = need;
  }
  struct record r = { RECORD_MAGIC, kind, offset, length, size_before, old_length };
  memcpy(buffer, &r, sizeof r);
  for (uint64_t done = 0; done < old_length;) {
    ssize_t n = (ssize_t)syscall(SYS_pread64, f->read_fd, buffer + sizeof r + done, (size_t)(old_length - done), (long)(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return 0;
    if (n == 0) { memset(buffer + sizeof r + done, 0, old_length - done); break; }
    done += (uint64_t)n;
  }
  uint64_t end = f->header->end;
  for (size_t done = 0; done < need;) {
    ssize_t n = (ssize_t)syscall(SYS_pwrite64, f->log_fd, buffer + done, need - done, (long)(end + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return 0;
    done += (size_t)n;
  }
  __sync_synchronize();
  f->header->end = end + need;
  if (need > (4u << 20)) { free(buffer); buffer = NULL; buffer_bytes = 0; }
  return 1;
}

/* Records a write that is about to happen. The lock stays until `wrote`: records keep the order of the writes. */
static int writing(struct file *f, const struct statx *s, uint64_t offset, uint64_t length) {
  uint64_t old = offset >= s->stx_size ? 0 : s->stx_size - offset < length ? s->stx_size - offset : length;
  return append(f, KIND_WRITE, offset, length, s->stx_size, old);
}

static void wrote(struct file *f, int fd, uint64_t offset, ssize_t n, int was_clean) {
  int saved = errno;
  int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
  if (n > 0 && flags >= 0 && (flags & O_DSYNC)) {
    if (was_clean) start_over(f);
    else if (!append(f, KIND_SYNCED, offset, (uint64_t)n, 0, 0)) fatal("cannot append to", "the undo log");
  }
  pthread_mutex_unlock(&f->lock);
  errno = saved;
}

static int is_clean(const struct file *f) { return f->header->start >= f->header->end; }

/* Where write() and writev() go. */
static uint64_t position(int fd, const struct statx *s) {
  int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
  if (flags >= 0 && (flags & O_APPEND)) return s->stx_size;
  long at = syscall(SYS_lseek, fd, 0L, SEEK_CUR);
  return at < 0 ? 0 : (uint64_t)at;
}

static uint64_t total(const struct iovec *v, int count) {
  uint64_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += v[i].iov_len;
  return bytes;
}

#define RECORDED(fd, offset_of, bytes, call)                                    \
  struct statx s;                                                               \
  if (disk_fault(fd, DISK_WRITE, 0, 0)) return -1;                                                               \
  struct file *f = tracked(fd, &s);                                             \
  if (!f) return (call);                                                        \
  uint64_t at = (offset_of);                                                    \
  int was_clean = is_clean(f);                                                  \
  if (!writing(f, &s, at, (bytes))) { pthread_mutex_unlock(&f->lock); return -1; } \
  ssize_t n = (call);                                                           \
  if (n > 0) disk_rewritten(fd, at, (uint64_t)n);                               \
  wrote(f, fd, at, n, was_clean);                                               \
  return n;

ssize_t write(int fd, const void *data, size_t bytes) { RECORDED(fd, position(fd, &s), bytes, syscall(SYS_write, fd, data, bytes)) }
ssize_t writev(int fd, const struct iovec *v, int count) { RECORDED(fd, position(fd, &s), total(v, count), syscall(SYS_writev, fd, v, (long)count)) }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { RECORDED(fd, (uint64_t)offset, bytes, syscall(SYS_pwrite64, fd, data, bytes, offset)) }
ssize_t pwritev64(int fd, const struct iovec *v, int count, off64_t offset) { RECORDED(fd, (uint64_t)offset, total(v, count), syscall(SYS_pwritev, fd, v, (long)count, offset, 0L)) }
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite64(fd, data, bytes, offset); }
ssize_t pwritev(int fd, const struct iovec *v, int count, off_t offset) { return pwritev64(fd, v, count, offset); }

static int synced(int fd, long number) {
  struct statx s;
  if (disk_fault(fd, DISK_FLUSH, 0, 0)) return -1;
  struct file *f = tracked(fd, &s);
  if (!f) return (int)syscall(number, fd);
  /* Every record up to here is of a write that has returned: this flush covers it. Later ones it may not. */
  uint64_t end = f->header->end, resets = f->resets;
  pthread_mutex_unlock(&f->lock);
  int result = (int)syscall(number, fd);
  if (result) return result;
  pthread_mutex_lock(&f->lock);
  if (f->resets == resets) {
    if (f->header->end == end) start_over(f);
    else if (f->header->start < end) f->header->start = end;
  }
  pthread_mutex_unlock(&f->lock);
  return 0;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int ftruncate64(int fd, off64_t size) {
  struct statx s;
  struct file *f = tracked(fd, &s);
  if (!f) return (int)syscall(SYS_ftruncate, fd, size);
  uint64_t lost = (uint64_t)size < s.stx_size ? s.stx_size - (uint64_t)size : 0;
  int result = -1;
  if ((uint64_t)size == s.stx_size || append(f, KIND_TRUNCATE, (uint64_t)size, 0, s.stx_size, lost)) result = (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_unlock(&f->lock);
  return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* Punching and zeroing replace bytes like a write; a plain preallocation changes at most the size. */
int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  struct statx s;
  if (disk_fault(fd, DISK_WRITE, 0, 0)) return -1;
  struct file *f = tracked(fd, &s);
  if (!f) return (int)syscall(SYS_fallocate, fd, (long)mode, offset, length);
  uint64_t after = mode & FALLOC_FL_KEEP_SIZE ? s.stx_size : (uint64_t)(offset + length) > s.stx_size ? (uint64_t)(offset + length) : s.stx_size;
  int recorded = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ? writing(f, &s, (uint64_t)offset, (uint64_t)length)
                 : after == s.stx_size ? 1 : append(f, KIND_TRUNCATE, after, 0, s.stx_size, 0);
  int result = recorded ? (int)syscall(SYS_fallocate, fd, (long)mode, offset, length) : -1;
  if (!result && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) disk_rewritten(fd, (uint64_t)offset, (uint64_t)length);
  pthread_mutex_unlock(&f->lock);
  return result;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return fallocate64(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return fallocate64(fd, 0, offset, length) ? errno : 0; }

/* O_TRUNC loses bytes too: opened without it, then truncated through the log. */
static int opened(int dir, const char *path, int flags, mode_t mode) {
  if (!log_dir || !(flags & O_TRUNC) || (flags & O_ACCMODE) == O_RDONLY) return (int)syscall(SYS_openat, dir, path, (long)flags, (long)mode);
  int fd = (int)syscall(SYS_openat, dir, path, (long)(flags & ~O_TRUNC), (long)mode);
  if (fd < 0) return fd;
  struct statx s;
  if (!look(fd, "", &s) && S_ISREG(s.stx_mode) && s.stx_size > 0 && ftruncate64(fd, 0)) {
    int saved = errno;
    syscall(SYS_close, fd);
    errno = saved;
    return -1;
  }
  return fd;
}
#define MODE(flags)                                                   \
  mode_t mode = 0;                                                    \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                              \
    va_list list;                                                     \
    va_start(list, flags);                                            \
    mode = va_arg(list, mode_t);                                      \
    va_end(list);                                                     \
  }
int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) return opened(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return opened(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
