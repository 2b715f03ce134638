/* A slow link between two network namespaces, for kernels without netem.
 * tundelay ONE_WAY_MICROSECONDS: opens the tun device "hosts0" in this namespace, makes a new
 * namespace, opens "client0" there, prints "ready", and carries packets both ways, each one that
 * much later. Real TCP runs over it: SYN, slow start and Nagle cost what they would. The new
 * namespace is /proc/PID/ns/net. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

typedef struct packet {
    struct packet *next;
    long long due; /* nanoseconds of the monotonic clock */
    size_t length;
    unsigned char bytes[];
} packet;

typedef struct {
    int device;
    packet *first, *last; /* what waits to be delivered here */
} side;

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int open_tun(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
        perror("/dev/net/tun");
        exit(1);
    }
    return fd;
}

static void take_in(const side *from, side *to, long long delay)
{
    static unsigned char buffer[65536];
    for (int i = 0; i < 256; i++) {
        ssize_t length = read(from->device, buffer, sizeof buffer);
        if (length <= 0) return;
        packet *p = malloc(sizeof *p + (size_t)length);
        if (!p) abort();
        p->next = NULL;
        p->due = now() + delay;
        p->length = (size_t)length;
        memcpy(p->bytes, buffer, p->length);
        if (to->last) to->last->next = p;
        else to->first = p;
        to->last = p;
    }
}

static void deliver(side *to)
{
    long long time = now();
    while (to->first && to->first->due <= time) {
        packet *p = to->first;
        if (write(to->device, p->bytes, p->length) < 0 && errno == EAGAIN) return;
        to->first = p->next;
        if (!to->first) to->last = NULL;
        free(p);
    }
}

static void wait_for_work(const side sides[2])
{
    struct pollfd polled[2] = {{sides[0].device, POLLIN, 0}, {sides[1].device, POLLIN, 0}};
    long long next = -1, time = now();
    for (int i = 0; i < 2; i++) {
        const packet *p = sides[i].first;
        if (p && (next < 0 || p->due < next)) next = p->due;
    }
    long long left = next > time ? next - time : 0;
    struct timespec timeout = {left / 1000000000LL, left % 1000000000LL};
    ppoll(polled, 2, next < 0 ? NULL : &timeout, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    long long delay = atoll(argv[1]) * 1000LL;
    side sides[2] = {{0}, {0}};
    sides[0].device = open_tun("hosts0");
    if (unshare(CLONE_NEWNET) < 0) {
        perror("unshare");
        return 1;
    }
    sides[1].device = open_tun("client0");
    puts("ready");
    fflush(stdout);
    for (;;) {
        wait_for_work(sides);
        take_in(&sides[0], &sides[1], delay);
        take_in(&sides[1], &sides[0], delay);
        deliver(&sides[0]);
        deliver(&sides[1]);
    }
}
