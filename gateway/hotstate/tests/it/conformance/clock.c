/* A wall clock in the test's hands: preloaded into redis-server, it shows the milliseconds that
 * stand in the file named by SLUICE_TEST_CLOCK. Timers run on the monotonic clock and stay real. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile const int64_t *shown;

__attribute__((constructor)) static void map_clock(void) {
    const char *path = getenv("SLUICE_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *shown, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) shown = page;
    close(file);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    if (!shown) return (int)syscall(SYS_gettimeofday, now, zone);
    int64_t millis = *shown;
    now->tv_sec = millis / 1000;
    now->tv_usec = millis % 1000 * 1000;
    return 0;
}
