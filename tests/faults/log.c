/* A disk that remembers, for one process: loaded ahead of libc (LD_PRELOAD), it writes down what is
 * done to a folder, in order: writes with their bytes, lengths, names, and syncs with what had been
 * done when they began.
 *
 * DISK_UNDER is the folder, DISK_LOG the log; without a log nothing is written down. Compiled and used
 * by tests/tests/power_loss.rs; tests/src/torture/disk_log.rs reads it. What it misses is found there:
 * the log, replayed whole, has to give the folder. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, LENGTH, CREATE, FOLDER, RENAME, REMOVE, SYNC, SYNC_ALL, ALLOCATE };

struct head {
    uint32_t kind, length_of_name, length_of_more, zero;
    uint64_t inode, a, b;
};

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* An operation and its line in the log are one, so that the log's order is the order of the disk. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static uint64_t log_end;

static int is_logged(void) {
    if (log_fd < 0) {
        const char *path = getenv("DISK_LOG");
        if (!path || !*path)
            return 0;
        log_fd = REAL(open64)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0)
            abort();
    }
    return 1;
}

/* The path within the folder, or nothing. */
static const char *inside(const char *path) {
    const char *under = getenv("DISK_UNDER");
    size_t length = under ? strlen(under) : 0;
    if (!length || strncmp(path, under, length) != 0)
        return NULL;
    return path[length] == '/' ? path + length + 1 : path[length] == 0 ? path + length : NULL;
}

static void record(uint32_t kind, uint64_t inode, uint64_t a, uint64_t b, const char *name,
                   const void *more, size_t length) {
    struct head head = {kind, (uint32_t)strlen(name), (uint32_t)length, 0, inode, a, b};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)name, strlen(name)}, {(void *)more, length}};
    ssize_t whole = (ssize_t)(sizeof head + strlen(name) + length);
    if (REAL(writev)(log_fd, parts, 3) != whole)
        abort();
    log_end += (uint64_t)whole;
}

/* The inode of a file in the folder, or 0. */
static uint64_t inode_of(int fd) {
    char link[64], path[4096];
    int before = errno;
    struct stat stat;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    uint64_t inode = 0;
    if (length > 0) {
        path[length] = 0;
        if (inside(path) && fstat(fd, &stat) == 0)
            inode = stat.st_ino;
    }
    errno = before;
    return inode;
}

static uint64_t enter(int fd) {
    pthread_mutex_lock(&lock);
    return is_logged() ? inode_of(fd) : 0;
}

static void leave(void) {
    int before = errno;
    pthread_mutex_unlock(&lock);
    errno = before;
}

ssize_t write(int fd, const void *data, size_t length) {
    uint64_t inode = enter(fd);
    ssize_t done = REAL(write)(fd, data, length);
    if (inode && done > 0)
        record(WRITE, inode, (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), 0, "", data, (size_t)done);
    leave();
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    uint64_t inode = enter(fd);
    ssize_t done = REAL(writev)(fd, parts, count);
    if (inode && done > 0) {
        uint64_t at = (uint64_t)(lseek(fd, 0, SEEK_CUR) - done);
        size_t left = (size_t)done;
        for (int i = 0; i < count && left; i++) {
            size_t length = parts[i].iov_len < left ? parts[i].iov_len : left;
            record(WRITE, inode, at, 0, "", parts[i].iov_base, length);
            at += length;
            left -= length;
        }
    }
    leave();
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
    uint64_t inode = enter(fd);
    ssize_t done = REAL(pwrite64)(fd, data, length, at);
    if (inode && done > 0)
        record(WRITE, inode, (uint64_t)at, 0, "", data, (size_t)done);
    leave();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
    return pwrite64(fd, data, length, at);
}

int ftruncate64(int fd, off64_t length) {
    uint64_t inode = enter(fd);
    int failed = REAL(ftruncate64)(fd, length);
    if (inode && !failed)
        record(LENGTH, inode, (uint64_t)length, 0, "", NULL, 0);
    leave();
    return failed;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    uint64_t inode = enter(fd);
    int failed = REAL(fallocate64)(fd, mode, at, length);
    if (inode && !failed && mode == 0)
        record(ALLOCATE, inode, (uint64_t)(at + length), 0, "", NULL, 0);
    leave();
    return failed;
}

int fallocate(int fd, int mode, off_t at, off_t length) {
    return fallocate64(fd, mode, at, length);
}

/* std copies files by these where it can; by read and write it does where it cannot. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    (void)in, (void)from, (void)out, (void)to, (void)length, (void)flags;
    errno = ENOSYS;
    return -1;
}

/* Syncs do not hold up the others: what counts is what had been done when one began. */
#define SYNCED(kind, call)                                                                             \
    uint64_t inode = enter(fd), begun = log_end;                                                       \
    leave();                                                                                           \
    int failed = call;                                                                                 \
    if (inode && !failed) {                                                                            \
        pthread_mutex_lock(&lock);                                                                     \
        record(kind, inode, begun, 0, "", NULL, 0);                                                    \
        leave();                                                                                       \
    }                                                                                                  \
    return failed

int fsync(int fd) {
    SYNCED(SYNC, REAL(fsync)(fd));
}

int fdatasync(int fd) {
    SYNCED(SYNC, REAL(fdatasync)(fd));
}

int syncfs(int fd) {
    SYNCED(SYNC_ALL, REAL(syncfs)(fd));
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    pthread_mutex_lock(&lock);
    const char *name = is_logged() && folder == AT_FDCWD ? inside(path) : NULL;
    struct stat stat;
    int was_there = name && lstat(path, &stat) == 0;
    int fd = REAL(openat64)(folder, path, flags, mode);
    if (name && fd >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat(fd, &stat) == 0) {
        if (!was_there)
            record(CREATE, stat.st_ino, 0, 0, name, NULL, 0);
        else if (flags & O_TRUNC)
            record(LENGTH, stat.st_ino, 0, 0, "", NULL, 0);
    }
    leave();
    return fd;
}

#define MODE                                                                                           \
    mode_t mode = 0;                                                                                   \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                             \
        va_list rest;                                                                                  \
        va_start(rest, flags);                                                                         \
        mode = va_arg(rest, mode_t);                                                                   \
        va_end(rest);                                                                                  \
    }

int open64(const char *path, int flags, ...) {
    MODE return opened(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    MODE return opened(AT_FDCWD, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE return opened(folder, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE return opened(folder, path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&lock);
    int failed = REAL(mkdir)(path, mode);
    const char *name = is_logged() ? inside(path) : NULL;
    struct stat stat;
    if (name && !failed && lstat(path, &stat) == 0)
        record(FOLDER, stat.st_ino, 0, 0, name, NULL, 0);
    leave();
    return failed;
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int failed = REAL(rename)(from, to);
    const char *old = is_logged() ? inside(from) : NULL, *new = old ? inside(to) : NULL;
    if (new && !failed)
        record(RENAME, 0, 0, 0, old, new, strlen(new));
    leave();
    return failed;
}

static int removed(const char *path, int failed) {
    const char *name = is_logged() ? inside(path) : NULL;
    if (name && !failed)
        record(REMOVE, 0, 0, 0, name, NULL, 0);
    leave();
    return failed;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    return removed(path, REAL(unlink)(path));
}

int rmdir(const char *path) {
    pthread_mutex_lock(&lock);
    return removed(path, REAL(rmdir)(path));
}
