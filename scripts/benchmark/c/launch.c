/* Starts the command that is measured: launch REPORT_FD NETNS CGROUP... -- COMMAND...
 * Goes into the network namespace (a path, or - for none) and the cgroups first and then takes
 * the time, so that neither the benchmark's fork nor the kernel's move of a process between
 * cgroups is part of the figures. Writes "WALL_SECONDS EXIT_STATUS" to REPORT_FD. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(125);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void enter_network(const char *path)
{
    if (strcmp(path, "-") == 0) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) die(path);
    close(fd);
}

static void join_cgroup(const char *directory)
{
    char path[512];
    snprintf(path, sizeof path, "%s/cgroup.procs", directory);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1) die(path);
    close(fd);
}

int main(int argc, char **argv)
{
    int separator = 3;
    while (separator < argc && strcmp(argv[separator], "--") != 0) separator++;
    if (separator + 1 >= argc) return 125;
    int report = atoi(argv[1]), clock_pipe[2], status;
    double started = 0;
    enter_network(argv[2]);
    if (pipe2(clock_pipe, O_CLOEXEC) < 0 || fcntl(report, F_SETFD, FD_CLOEXEC) < 0) die("pipe");
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        for (int i = 3; i < separator; i++) join_cgroup(argv[i]);
        started = now();
        if (write(clock_pipe[1], &started, sizeof started) != sizeof started) die("pipe");
        execvp(argv[separator + 1], argv + separator + 1);
        die(argv[separator + 1]);
    }
    close(clock_pipe[1]);
    if (waitpid(child, &status, 0) < 0) die("waitpid");
    double ended = now();
    if (read(clock_pipe[0], &started, sizeof started) != sizeof started) return 125;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    dprintf(report, "%.6f %d\n", ended - started, code);
    return 0;
}
