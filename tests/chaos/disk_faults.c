/* Faults of a disk, preloaded into the gateway.
 *
 * CHAOS_DISK names a directory. While it holds a file `fail`, fsync and fdatasync fail with EIO. In `log` there is one
 * line for each write (W offset length path) below CHAOS_DATA, and for each sync that begins (B number path) and
 * succeeds (E number path): what a power failure may take is what was written and not synced.
 * CHAOS_CRASH_AT_SYNC is a number: the process ends when it begins so manyth sync, with what it wrote not synced.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int log_file = -2;
static atomic_long syncs;

static int open_log(void) {
    int known = atomic_load(&log_file);
    if (known != -2) return known;
    const char *directory = getenv("CHAOS_DISK");
    char path[4096];
    snprintf(path, sizeof path, "%s/log", directory ? directory : "/nonexistent");
    int opened = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    atomic_store(&log_file, opened);
    return opened;
}

/* The file's path, if it is one of the data. */
static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    const char *data = getenv("CHAOS_DATA");
    if (length <= 0 || data == NULL) return 0;
    path[length] = 0;
    return strncmp(path, data, strlen(data)) == 0;
}

static void say(const char *format, ...) {
    char line[4352];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    int file = open_log();
    if (file >= 0 && length > 0) syscall(SYS_write, file, line, (size_t)length);
}

static void note_write(int fd, long offset, size_t length) {
    char path[4096];
    int before = errno;
    if (path_of(fd, path, sizeof path)) say("W %ld %zu %s\n", offset, length, path);
    errno = before;
}

static int failing(void) {
    char path[4096];
    const char *directory = getenv("CHAOS_DISK");
    snprintf(path, sizeof path, "%s/fail", directory ? directory : "/nonexistent");
    return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

static void crash_at(long number) {
    const char *at = getenv("CHAOS_CRASH_AT_SYNC");
    if (at != NULL && *at && atol(at) == number) abort();
}

/* What is written while a sync runs may not be part of it: the sync covers what came before its B. */
static int sync_with(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char path[4096];
    int ours = path_of(fd, path, sizeof path);
    if (ours && failing()) {
        errno = EIO;
        return -1;
    }
    long number = atomic_fetch_add(&syncs, 1);
    if (ours) crash_at(number + 1);
    if (ours) say("B %ld %s\n", number, path);
    int result = real(fd);
    int after = errno;
    if (ours && result == 0) say("E %ld %s\n", number, path);
    errno = after;
    return result;
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }

/* Noted before it is done: what is torn is never taken for whole. */
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    note_write(fd, offset, length);
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    note_write(fd, offset, length);
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

static long position(int fd) {
    struct { int flags; } status = { fcntl(fd, F_GETFL) };
    return lseek(fd, 0, status.flags & O_APPEND ? SEEK_END : SEEK_CUR);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (fd > 2) {
        char path[4096];
        int before = errno;
        if (path_of(fd, path, sizeof path)) say("W %ld %zu %s\n", position(fd), length, path);
        errno = before;
    }
    return syscall(SYS_write, fd, bytes, length);
}
