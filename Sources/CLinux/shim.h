// What the Glibc module of Swift leaves out.
#pragma once
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// A file in memory, closed on exec. glibc hides memfd_create behind a feature macro.
static inline int fleet_memory_file(void) { return (int)syscall(SYS_memfd_create, "fleet", 1U); }

// glibc has these two, but its headers hide them from whoever does not ask for GNU extensions.
extern void *memmem(const void *haystack, size_t haystack_length, const void *needle,
                    size_t needle_length);
extern void *memrchr(const void *bytes, int byte, size_t length);
