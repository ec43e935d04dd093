/* Counts the file operations of a process below one folder and lets one fail.
 *
 * Loaded by LD_PRELOAD, so that it stands before the C library for Python and for the
 * C++ of TensorStore alike. It does nothing until `fault_arm` is called. What an
 * operation is: creating or truncating a file by open, a write, a truncation, a sync, a
 * rename, a link, making a folder, removing a file or a folder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, CRASH, FULL, ONCE }; /* what happens at the operation that is named */

static struct record {
    long count;     /* operations so far */
    long fired;     /* whether the one that is named came */
    char what[496]; /* which it was */
} *record;
static char folder[PATH_MAX];
static size_t folder_length;
static long nth;
static int mode, error_number;

/* From here on operations below `path` are counted, in the file `counter`. */
int fault_arm(const char *path, const char *counter, long n, int what, int number) {
    int file = open(counter, O_RDWR);
    if (file < 0) return -1;
    struct record *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED) return -1;
    snprintf(folder, sizeof folder, "%s", path);
    folder_length = strlen(folder);
    nth = n;
    mode = what;
    error_number = number;
    record = shared;
    return 0;
}

/* The path that (base, name) stands for; base is an open folder or AT_FDCWD. */
static const char *absolute(int base, const char *name, char *buffer) {
    if (name[0] == '/') return name;
    char link[64];
    if (base == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", base);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0) return "";
    snprintf(buffer + length, PATH_MAX - length, "%s%s", *name ? "/" : "", name);
    return buffer;
}

/* 0: go on; -1: crash after half of it; else the number of the error to give. */
static int strike(const char *kind, int base, const char *name, int frees) {
    if (!record || !name) return 0;
    int kept = errno;
    char buffer[2 * PATH_MAX];
    const char *path = absolute(base, name, buffer);
    errno = kept;
    if (strncmp(path, folder, folder_length)) return 0;
    long number = __atomic_add_fetch(&record->count, 1, __ATOMIC_SEQ_CST);
    if (mode == COUNT || number < nth || (number > nth && mode == ONCE)) return 0;
    if (number == nth) {
        snprintf(record->what, sizeof record->what, "%s %s", kind,
                 path + folder_length);
        record->fired = 1;
    }
    if (mode == CRASH) return -1;
    return mode == FULL && frees ? 0 : error_number; /* removing works on a full disk */
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CHECK(kind, base, path, frees)                       \
    do {                                                     \
        int result = strike(kind, base, path, frees);        \
        if (result < 0) _exit(86);                           \
        if (result) { errno = result; return -1; }           \
    } while (0)
#define HALF(kind, fd, partial)                              \
    do {                                                     \
        int result = strike(kind, fd, "", 0);                \
        if (result < 0) { partial; _exit(86); }              \
        if (result) { errno = result; return -1; }           \
    } while (0)
#define MAKES(flags) ((flags) & (O_CREAT | O_TRUNC))

#define OPEN(name)                                           \
    int name(const char *path, int flags, ...) {             \
        va_list list;                                        \
        va_start(list, flags);                               \
        mode_t bits = va_arg(list, mode_t);                  \
        va_end(list);                                        \
        if (MAKES(flags)) CHECK("open", AT_FDCWD, path, 0);  \
        return REAL(name)(path, flags, bits);                \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                         \
    int name(int base, const char *path, int flags, ...) {   \
        va_list list;                                        \
        va_start(list, flags);                               \
        mode_t bits = va_arg(list, mode_t);                  \
        va_end(list);                                        \
        if (MAKES(flags)) CHECK("open", base, path, 0);      \
        return REAL(name)(base, path, flags, bits);          \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *bytes, size_t n) {
    HALF("write", fd, REAL(write)(fd, bytes, n / 2));
    return REAL(write)(fd, bytes, n);
}
ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    HALF("write", fd, REAL(pwrite)(fd, bytes, n / 2, at));
    return REAL(pwrite)(fd, bytes, n, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    HALF("write", fd, REAL(pwrite64)(fd, bytes, n / 2, at));
    return REAL(pwrite64)(fd, bytes, n, at);
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
    HALF("write", fd, REAL(write)(fd, parts[0].iov_base, parts[0].iov_len / 2));
    return REAL(writev)(fd, parts, n);
}
int ftruncate(int fd, off_t length) {
    CHECK("ftruncate", fd, "", 0);
    return REAL(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) {
    CHECK("ftruncate", fd, "", 0);
    return REAL(ftruncate64)(fd, length);
}
int fsync(int fd) {
    CHECK("fsync", fd, "", 0);
    return REAL(fsync)(fd);
}
int fdatasync(int fd) {
    CHECK("fdatasync", fd, "", 0);
    return REAL(fdatasync)(fd);
}
int rename(const char *from, const char *to) {
    CHECK("rename", AT_FDCWD, to, 0);
    return REAL(rename)(from, to);
}
int renameat(int from_base, const char *from, int base, const char *to) {
    CHECK("rename", base, to, 0);
    return REAL(renameat)(from_base, from, base, to);
}
int renameat2(int from_base, const char *from, int base, const char *to,
              unsigned flags) {
    CHECK("rename", base, to, 0);
    return REAL(renameat2)(from_base, from, base, to, flags);
}
int link(const char *from, const char *to) {
    CHECK("link", AT_FDCWD, to, 0);
    return REAL(link)(from, to);
}
int mkdir(const char *path, mode_t bits) {
    CHECK("mkdir", AT_FDCWD, path, 0);
    return REAL(mkdir)(path, bits);
}
int mkdirat(int base, const char *path, mode_t bits) {
    CHECK("mkdir", base, path, 0);
    return REAL(mkdirat)(base, path, bits);
}
int unlink(const char *path) {
    CHECK("unlink", AT_FDCWD, path, 1);
    return REAL(unlink)(path);
}
int unlinkat(int base, const char *path, int flags) {
    CHECK("unlink", base, path, 1);
    return REAL(unlinkat)(base, path, flags);
}
int rmdir(const char *path) {
    CHECK("rmdir", AT_FDCWD, path, 1);
    return REAL(rmdir)(path);
}
