/* Faults of one file's disk: disk-faults.c. */
#ifndef DISK_FAULTS_H
#define DISK_FAULTS_H
#include <stdint.h>

enum disk_operation { DISK_READ, DISK_WRITE, DISK_FLUSH };
/* Before a request: waits as long as the disk is slow or hangs. 0: go on; else what the request fails with, errno is set to it. */
__attribute__((visibility("hidden"))) int disk_fault(int fd, enum disk_operation operation, uint64_t offset, uint64_t length);
/* After a write: a sector that was written can be read again. */
__attribute__((visibility("hidden"))) void disk_rewritten(int fd, uint64_t offset, uint64_t length);
#endif
