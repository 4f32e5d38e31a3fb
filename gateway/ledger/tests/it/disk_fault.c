/* Preloaded into a child of the tests: lets the disk fail for files whose path holds "ledger.db",
 * as long as a file of the fault's name stands in the folder that SLUICE_DISK_FAULTS names.
 *   full      writes fail with ENOSPC
 *   sync      fsync and fdatasync fail with EIO
 *   slow      fsync and fdatasync take a twentieth of a second longer
 *   read_only opening for writing and writes fail with EROFS
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int asked_for(const char *fault) {
  const char *folder = getenv("SLUICE_DISK_FAULTS");
  char path[4096];
  if (folder == NULL) return 0;
  snprintf(path, sizeof path, "%s/%s", folder, fault);
  return access(path, F_OK) == 0;
}

static int concerns(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, "ledger.db") != NULL;
}

static int fails(int fd, const char *fault, int error) {
  int saved = errno;
  if (asked_for(fault) && concerns(fd)) {
    errno = error;
    return 1;
  }
  errno = saved;
  return 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int no_write(int fd) {
  return fails(fd, "full", ENOSPC) || fails(fd, "read_only", EROFS);
}

ssize_t write(int fd, const void *from, size_t size) {
  return no_write(fd) ? -1 : NEXT(write)(fd, from, size);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
  return no_write(fd) ? -1 : NEXT(pwrite)(fd, from, size, at);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
  return no_write(fd) ? -1 : NEXT(pwrite64)(fd, from, size, at);
}

static int no_sync(int fd) {
  if (fails(fd, "slow", 0)) usleep(50000);
  return fails(fd, "sync", EIO);
}

int fsync(int fd) { return no_sync(fd) ? -1 : NEXT(fsync)(fd); }

int fdatasync(int fd) { return no_sync(fd) ? -1 : NEXT(fdatasync)(fd); }

static int refused(const char *path, int flags) {
  int writes = (flags & O_ACCMODE) != O_RDONLY;
  return writes && strstr(path, "ledger.db") != NULL && asked_for("read_only");
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (refused(path, flags)) {
    errno = EROFS;
    return -1;
  }
  return NEXT(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (refused(path, flags)) {
    errno = EROFS;
    return -1;
  }
  return NEXT(open)(path, flags, mode);
}
