/* Preloaded into a process: reads of a file behind some place in it fail, as those of a failing disk do.

   FAIL_NAME is part of the file's path, FAIL_FROM the place in bytes; where FAIL_ONCE names a file, that file is removed
   by the first failure, and without it nothing fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t read(int descriptor, void *buffer, size_t size) {
    static ssize_t (*real_read)(int, void *, size_t);
    const char *name = getenv("FAIL_NAME"), *once = getenv("FAIL_ONCE");
    char link[64], path[4096];
    ssize_t length;
    if (!real_read) real_read = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = name ? readlink(link, path, sizeof path - 1) : -1;
    if (length > 0) {
        path[length] = 0;
        if (strstr(path, name)) {
            off_t at = lseek(descriptor, 0, SEEK_CUR), from = atol(getenv("FAIL_FROM"));
            if (at < from && at + (off_t)size > from) size = from - at;
            if (at >= from && (!once || unlink(once) == 0)) {
                errno = EIO;
                return -1;
            }
        }
    }
    return real_read(descriptor, buffer, size);
}
