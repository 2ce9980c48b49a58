// Makes a program's fsync and fdatasync fail while a file is there: LD_PRELOAD this, and name the file in FAILING_FSYNC.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int failing(void) {
	const char *file = getenv("FAILING_FSYNC");
	return file && access(file, F_OK) == 0;
}

static int pass(const char *name, int fd) {
	if (failing()) {
		errno = EIO;
		return -1;
	}
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
	return real(fd);
}

int fsync(int fd) { return pass("fsync", fd); }
int fdatasync(int fd) { return pass("fdatasync", fd); }
