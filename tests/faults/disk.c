/* A disk that fails, for one process: loaded ahead of libc (LD_PRELOAD), it makes writes, syncs,
 * renames and removals under a folder fail while a file is there.
 *
 * FAULT_UNDER is the folder, FAULT_CONTROL the file; its first line is the errno, as a number.
 * Compiled and used by tests/tests/failing_disk.rs. So the whole daemon meets the fault where it
 * would meet a disk's, in the catalog's engine too, and no device has to be made to fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The errno that is asked for, or 0. */
static int armed(void) {
    const char *control = getenv("FAULT_CONTROL");
    char text[16] = {0};
    if (!control)
        return 0;
    int fd = open(control, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    return got > 0 ? atoi(text) : 0;
}

static int is_under(const char *path) {
    const char *under = getenv("FAULT_UNDER");
    return under && strncmp(path, under, strlen(under)) == 0;
}

/* Whether what is done to this path fails; errno says how. */
static int path_fails(const char *path) {
    int before = errno, fault = is_under(path) ? armed() : 0;
    errno = fault ? fault : before;
    return fault;
}

static int fd_fails(int fd) {
    char link[64], path[4096];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length <= 0)
        return 0;
    path[length] = 0;
    return path_fails(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t length) {
    return fd_fails(fd) ? -1 : REAL(write)(fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
    return fd_fails(fd) ? -1 : REAL(pwrite64)(fd, data, length, at);
}

int ftruncate64(int fd, off64_t length) {
    return fd_fails(fd) ? -1 : REAL(ftruncate64)(fd, length);
}

int fsync(int fd) {
    return fd_fails(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    return fd_fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int syncfs(int fd) {
    return fd_fails(fd) ? -1 : REAL(syncfs)(fd);
}

int sync_file_range(int fd, off64_t from, off64_t length, unsigned int flags) {
    return fd_fails(fd) ? -1 : REAL(sync_file_range)(fd, from, length, flags);
}

int rename(const char *from, const char *to) {
    return path_fails(to) ? -1 : REAL(rename)(from, to);
}

int unlink(const char *path) {
    return path_fails(path) ? -1 : REAL(unlink)(path);
}
