// What the Glibc module of Swift leaves out.
#pragma once
#include <fcntl.h>
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

// A descriptor that becomes readable when a process ends (pidfd_open(2), since Linux 5.3); closed on exec.
static inline int fleet_pidfd_open(int process) { return (int)syscall(SYS_pidfd_open, process, 0U); }

// How a child ended: its exit status or its signal. The field is a macro that Swift cannot see.
#include <signal.h>
static inline int fleet_child_status(const siginfo_t *info) { return info->si_status; }

// A pipe that is closed on exec. glibc hides pipe2 behind a feature macro.
extern int pipe2(int ends[2], int flags);
static inline int fleet_pipe(int *ends) { return pipe2(ends, O_CLOEXEC); }
// The same of a spawned program's first directory.
#include <spawn.h>
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions,
                                                const char *path);
// Starts a program in a session of its own. glibc hides POSIX_SPAWN_SETSID behind a feature macro (spawn.h, since 2.26).
static inline short fleet_spawn_setsid(void) { return 0x80; }
