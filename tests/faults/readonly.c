/* A file system that turns read-only and back while files in it are open: FUSE, over a folder.
 *
 * readonly FOLDER CONTROL MOUNTPOINT -f. What is at MOUNTPOINT is what is in FOLDER; while the file CONTROL is
 * there, all that would change it fails with EROFS, an open file's writes, lengths and syncs too, and reading goes on.
 * Compiled and used by tests/tests/read_only_disk.rs. The kernel itself remounts nothing read-only that a process
 * has open for writing (EBUSY), and what ext4 does on an error cannot be undone under its users: this is what an NFS
 * server that has turned read-only, or a host's share, looks like from the guest. */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int folder;
static const char *control;

/* A path below the folder, for the *at calls. */
static const char *below(const char *path) { return path[1] ? path + 1 : "."; }

#define REFUSE_WHILE_READ_ONLY \
    if (access(control, F_OK) == 0) return -EROFS
#define ANSWER(call) return (call) == -1 ? -errno : 0

static int changes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)); }

static int ro_getattr(const char *path, struct stat *found, struct fuse_file_info *open) {
    if (open)
        ANSWER(fstat((int)open->fh, found));
    ANSWER(fstatat(folder, below(path), found, AT_SYMLINK_NOFOLLOW));
}

static int ro_opened(int fd, struct fuse_file_info *open) {
    if (fd < 0)
        return -errno;
    open->fh = (uint64_t)fd;
    return 0;
}

static int ro_create(const char *path, mode_t mode, struct fuse_file_info *open) {
    REFUSE_WHILE_READ_ONLY;
    return ro_opened(openat(folder, below(path), open->flags | O_CREAT, mode), open);
}

static int ro_open(const char *path, struct fuse_file_info *open) {
    if (changes(open->flags))
        REFUSE_WHILE_READ_ONLY;
    return ro_opened(openat(folder, below(path), open->flags & ~O_APPEND), open);
}

static int ro_release(const char *path, struct fuse_file_info *open) {
    (void)path;
    ANSWER(close((int)open->fh));
}

static int ro_read(const char *path, char *data, size_t length, off_t at, struct fuse_file_info *open) {
    (void)path;
    ssize_t got = pread((int)open->fh, data, length, at);
    return got < 0 ? -errno : (int)got;
}

static int ro_write(const char *path, const char *data, size_t length, off_t at, struct fuse_file_info *open) {
    (void)path;
    REFUSE_WHILE_READ_ONLY;
    ssize_t put = pwrite((int)open->fh, data, length, at);
    return put < 0 ? -errno : (int)put;
}

static int ro_fsync(const char *path, int data_only, struct fuse_file_info *open) {
    (void)path;
    REFUSE_WHILE_READ_ONLY;
    ANSWER(data_only ? fdatasync((int)open->fh) : fsync((int)open->fh));
}

static int ro_fsyncdir(const char *path, int data_only, struct fuse_file_info *open) {
    (void)data_only, (void)open;
    REFUSE_WHILE_READ_ONLY;
    int fd = openat(folder, below(path), O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return -errno;
    int failed = fsync(fd) ? -errno : 0;
    close(fd);
    return failed;
}

static int ro_truncate(const char *path, off_t length, struct fuse_file_info *open) {
    REFUSE_WHILE_READ_ONLY;
    if (open)
        ANSWER(ftruncate((int)open->fh, length));
    int fd = openat(folder, below(path), O_WRONLY);
    if (fd < 0)
        return -errno;
    int failed = ftruncate(fd, length) ? -errno : 0;
    close(fd);
    return failed;
}

static int ro_fallocate(const char *path, int mode, off_t at, off_t length, struct fuse_file_info *open) {
    (void)path;
    REFUSE_WHILE_READ_ONLY;
    ANSWER(fallocate((int)open->fh, mode, at, length));
}

static int ro_mkdir(const char *path, mode_t mode) {
    REFUSE_WHILE_READ_ONLY;
    ANSWER(mkdirat(folder, below(path), mode));
}

static int ro_mknod(const char *path, mode_t mode, dev_t device) {
    REFUSE_WHILE_READ_ONLY;
    ANSWER(mknodat(folder, below(path), mode, device));
}

static int ro_unlink(const char *path) {
    REFUSE_WHILE_READ_ONLY;
    ANSWER(unlinkat(folder, below(path), 0));
}

static int ro_rmdir(const char *path) {
    REFUSE_WHILE_READ_ONLY;
    ANSWER(unlinkat(folder, below(path), AT_REMOVEDIR));
}

static int ro_rename(const char *from, const char *to, unsigned int flags) {
    REFUSE_WHILE_READ_ONLY;
    ANSWER(renameat2(folder, below(from), folder, below(to), flags));
}

static int ro_link(const char *from, const char *to) {
    REFUSE_WHILE_READ_ONLY;
    ANSWER(linkat(folder, below(from), folder, below(to), 0));
}

static int ro_chmod(const char *path, mode_t mode, struct fuse_file_info *open) {
    (void)open;
    REFUSE_WHILE_READ_ONLY;
    ANSWER(fchmodat(folder, below(path), mode, 0));
}

static int ro_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *open) {
    (void)open;
    REFUSE_WHILE_READ_ONLY;
    ANSWER(utimensat(folder, below(path), times, 0));
}

static int ro_statfs(const char *path, struct statvfs *found) {
    (void)path;
    ANSWER(fstatvfs(folder, found));
}

static int ro_readdir(const char *path, void *into, fuse_fill_dir_t fill, off_t at, struct fuse_file_info *open,
                      enum fuse_readdir_flags flags) {
    (void)at, (void)open, (void)flags;
    int fd = openat(folder, below(path), O_RDONLY | O_DIRECTORY);
    DIR *all = fd < 0 ? NULL : fdopendir(fd);
    if (!all)
        return -errno;
    for (struct dirent *entry; (entry = readdir(all));)
        if (fill(into, entry->d_name, NULL, 0, 0))
            break;
    closedir(all);
    return 0;
}

static void *ro_init(struct fuse_conn_info *connection, struct fuse_config *config) {
    (void)connection;
    /* A name that is removed is gone, though its file is open; and nothing is remembered of names. */
    config->hard_remove = config->use_ino = 1;
    config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
    return NULL;
}

static const struct fuse_operations operations = {
    .init = ro_init, .getattr = ro_getattr, .create = ro_create, .open = ro_open, .release = ro_release,
    .read = ro_read, .write = ro_write, .fsync = ro_fsync, .fsyncdir = ro_fsyncdir, .truncate = ro_truncate,
    .fallocate = ro_fallocate, .mkdir = ro_mkdir, .mknod = ro_mknod, .unlink = ro_unlink, .rmdir = ro_rmdir, .rename = ro_rename,
    .link = ro_link, .chmod = ro_chmod, .utimens = ro_utimens, .statfs = ro_statfs, .readdir = ro_readdir,
};

int main(int count, char **args) {
    if (count < 4 || (folder = open(args[1], O_RDONLY | O_DIRECTORY)) < 0) {
        perror("usage: readonly FOLDER CONTROL MOUNTPOINT [OPTIONS OF FUSE]");
        return 2;
    }
    control = args[2];
    umask(0);
    args[2] = args[0];
    return fuse_main(count - 2, args + 2, &operations, NULL);
}
