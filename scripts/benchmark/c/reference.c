/* "C" in the tables: about the least that a libssh2 client can do. One thread, one epoll.
 *
 *   reference -p PORT -P PARALLEL -u USER -k KEY -K HOSTKEY -H HOSTS_FILE -U SOURCE DESTINATION
 *   reference -p PORT -P PARALLEL -u USER -k KEY -K HOSTKEY -H HOSTS_FILE -- STEP...
 *
 * Each step runs in a channel of its own over the host's one connection, in order; a non-zero
 * exit ends that host. HOSTKEY is the base64 of the one host key that is accepted.
 * Two things make it lean. The private key is parsed once and signs in libssh2's callback:
 * libssh2 itself would parse it for every host, with OpenSSL 3 half of a connection's CPU. And
 * TCP_QUICKACK is set before every read: sshd leaves Nagle's algorithm on until the session
 * runs, and a delayed acknowledgement then stalls the first channel by 40 ms.
 * Exits with 0 when every host succeeded. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <libssh2.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum { WAITS, ADVANCED, ENDED, FAILED } Outcome;

typedef struct Connection Connection;
typedef Outcome Phase(Connection *);

struct Connection {
    const char *host;
    int socket;
    uint32_t events; /* what epoll watches */
    Phase *phase;
    LIBSSH2_SESSION *session;
    LIBSSH2_CHANNEL *channel;
    int step;
    size_t sent;
};

static struct {
    int port, parallel, steps_count, is_upload;
    char **steps; /* of an upload: source and destination */
    const char *user;
    unsigned char *host_key, *content;
    size_t host_key_length, content_length;
    unsigned char public_key[51]; /* as SSH sends it: "ssh-ed25519" and 32 bytes */
    EVP_PKEY *private_key;
} job = {.port = 22, .parallel = 50};

static Phase finish_connecting, handshake, log_in, open_channel, start_step, read_output,
    close_channel, open_copy, send_content, send_eof, await_eof, disconnect;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static unsigned char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file || fstat(fileno(file), &status) < 0) die(path);
    unsigned char *bytes = malloc((size_t)status.st_size + 1);
    *length = fread(bytes, 1, (size_t)status.st_size, file);
    bytes[*length] = 0;
    fclose(file);
    return bytes;
}

/* Decodes base64 up to `=` or `-`, whichever ends it; line ends are skipped. */
static unsigned char *decode(const char *text, size_t *length)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char *bytes = malloc(strlen(text) + 1);
    unsigned value = 0;
    int bits = 0;
    *length = 0;
    for (; *text && *text != '=' && *text != '-'; text++) {
        const char *digit = strchr(digits, *text);
        if (!digit) continue;
        value = value << 6 | (unsigned)(digit - digits);
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        bytes[(*length)++] = (unsigned char)(value >> bits);
    }
    return bytes;
}

/* Finds the key pair in an unencrypted openssh-key-v1 file that holds one ed25519 key. */
static void read_private_key(const char *path)
{
    static const char public_head[] = "\0\0\0\013ssh-ed25519\0\0\0 ", private_head[] = "\0\0\0@";
    size_t length;
    char *text = (char *)read_file(path, &length), *body = strstr(text, "KEY-----");
    if (!body) die(path);
    unsigned char *bytes = decode(body + 8, &length);
    for (size_t i = 0; i + 119 <= length; i++) {
        if (memcmp(bytes + i, public_head, 19) || memcmp(bytes + i + 51, private_head, 4)) continue;
        memcpy(job.public_key, bytes + i, sizeof job.public_key);
        job.private_key =
            EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes + i + 55, 32);
        return;
    }
    fprintf(stderr, "%s: not an unencrypted ed25519 key\n", path);
    exit(2);
}

static int sign(LIBSSH2_SESSION *session, unsigned char **signature, size_t *length,
                const unsigned char *data, size_t data_length, void **abstract)
{
    (void)session, (void)abstract;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    *length = 64;
    *signature = malloc(*length);
    int ok = EVP_DigestSignInit(context, NULL, NULL, NULL, job.private_key) == 1 &&
             EVP_DigestSign(context, *signature, length, data, data_length) == 1;
    EVP_MD_CTX_free(context);
    return ok ? 0 : -1;
}

static Outcome next(Connection *c, Phase *phase)
{
    c->phase = phase;
    return ADVANCED;
}

/* What a libssh2 call's result means: wait for the socket, go on, or give the host up. */
static Outcome after(Connection *c, int result, Phase *phase)
{
    if (result == LIBSSH2_ERROR_EAGAIN) return WAITS;
    return result ? FAILED : next(c, phase);
}

static Outcome after_opening(Connection *c, Phase *phase)
{
    return after(c, c->channel ? 0 : libssh2_session_last_errno(c->session), phase);
}

static Outcome finish_connecting(Connection *c)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->socket, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error || !(c->session = libssh2_session_init())) return FAILED;
    libssh2_session_set_blocking(c->session, 0);
    return next(c, handshake);
}

static Outcome handshake(Connection *c)
{
    Outcome outcome = after(c, libssh2_session_handshake(c->session, c->socket), log_in);
    if (outcome != ADVANCED) return outcome;
    size_t length;
    int type;
    const char *key = libssh2_session_hostkey(c->session, &length, &type);
    int matches = key && length == job.host_key_length && !memcmp(key, job.host_key, length);
    return matches ? ADVANCED : FAILED;
}

static Outcome log_in(Connection *c)
{
    int result = libssh2_userauth_publickey(
        c->session, job.user, job.public_key, sizeof job.public_key, sign, NULL);
    return after(c, result, job.is_upload ? open_copy : open_channel);
}

static Outcome open_channel(Connection *c)
{
    c->channel = libssh2_channel_open_session(c->session);
    return after_opening(c, start_step);
}

static Outcome start_step(Connection *c)
{
    return after(c, libssh2_channel_exec(c->channel, job.steps[c->step]), read_output);
}

static void write_all(int fd, const char *bytes, ssize_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, (size_t)length);
        if (written <= 0) die("write");
        bytes += written;
        length -= written;
    }
}

static Outcome read_output(Connection *c)
{
    static char buffer[65536];
    while (!libssh2_channel_eof(c->channel)) {
        int is_dry = 0;
        for (int stream = 0; stream < 2; stream++) {
            ssize_t n;
            while ((n = libssh2_channel_read_ex(c->channel, stream, buffer, sizeof buffer)) > 0)
                write_all(stream ? STDERR_FILENO : STDOUT_FILENO, buffer, n);
            if (n < 0 && n != LIBSSH2_ERROR_EAGAIN) return FAILED;
            is_dry |= n < 0;
        }
        if (is_dry && !libssh2_channel_eof(c->channel)) return WAITS;
    }
    return next(c, close_channel);
}

static Outcome close_channel(Connection *c)
{
    int result = libssh2_channel_close(c->channel);
    if (!result) result = libssh2_channel_wait_closed(c->channel);
    if (result) return result == LIBSSH2_ERROR_EAGAIN ? WAITS : FAILED;
    int status = libssh2_channel_get_exit_status(c->channel);
    libssh2_channel_free(c->channel);
    c->channel = NULL;
    if (status) return FAILED;
    int is_last = job.is_upload || ++c->step == job.steps_count;
    return next(c, is_last ? disconnect : open_channel);
}

static Outcome open_copy(Connection *c)
{
    c->channel = libssh2_scp_send64(
        c->session, job.steps[1], 0644, (libssh2_int64_t)job.content_length, 0, 0);
    return after_opening(c, send_content);
}

static Outcome send_content(Connection *c)
{
    size_t total = job.content_length + 1; /* scp ends a file with one NUL */
    while (c->sent < total) {
        ssize_t n = libssh2_channel_write(
            c->channel, (char *)job.content + c->sent, total - c->sent);
        if (n < 0) return n == LIBSSH2_ERROR_EAGAIN ? WAITS : FAILED;
        c->sent += (size_t)n;
    }
    return next(c, send_eof);
}

static Outcome send_eof(Connection *c)
{
    return after(c, libssh2_channel_send_eof(c->channel), await_eof);
}

static Outcome await_eof(Connection *c)
{
    return after(c, libssh2_channel_wait_eof(c->channel), close_channel);
}

static Outcome disconnect(Connection *c)
{
    int result = libssh2_session_disconnect(c->session, "done");
    return result == LIBSSH2_ERROR_EAGAIN ? WAITS : ENDED;
}

static void start(Connection *c, int epoll)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)job.port)};
    int on = 1;
    inet_pton(AF_INET, c->host, &address.sin_addr);
    c->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int result = connect(c->socket, (struct sockaddr *)&address, sizeof address);
    if (result < 0 && errno != EINPROGRESS) die(c->host);
    c->phase = finish_connecting;
    c->events = EPOLLOUT;
    struct epoll_event event = {.events = c->events, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->socket, &event) < 0) die("epoll_ctl");
}

static void watch(Connection *c, int epoll)
{
    uint32_t events = EPOLLIN;
    if (libssh2_session_block_directions(c->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND)
        events |= EPOLLOUT;
    if (events == c->events) return;
    struct epoll_event event = {.events = c->events = events, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->socket, &event);
}

/* Goes as far as the socket allows. */
static Outcome advance(Connection *c)
{
    int on = 1;
    setsockopt(c->socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    Outcome outcome;
    while ((outcome = c->phase(c)) == ADVANCED) {}
    if (outcome == WAITS) return outcome;
    if (outcome == FAILED) {
        char *why = "cannot connect";
        if (c->session) libssh2_session_last_error(c->session, &why, NULL, 0);
        fprintf(stderr, "%s: failed: %s\n", c->host, why);
    }
    if (c->session) libssh2_session_free(c->session);
    close(c->socket);
    return outcome;
}

/* Returns how many hosts failed. */
static int run(Connection *connections, int count)
{
    struct epoll_event events[256];
    int epoll = epoll_create1(EPOLL_CLOEXEC), started = 0, running = 0, failures = 0;
    while (started < count || running) {
        for (; started < count && running < job.parallel; running++)
            start(&connections[started++], epoll);
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            Connection *c = events[i].data.ptr;
            Outcome outcome = advance(c);
            if (outcome == WAITS) watch(c, epoll);
            else running--;
            failures += outcome == FAILED;
        }
    }
    return failures;
}

static Connection *read_hosts(const char *path, int *count)
{
    size_t length;
    char *text = (char *)read_file(path, &length), *host;
    Connection *connections = calloc(length + 1, sizeof *connections);
    for (*count = 0; (host = strsep(&text, "\n"));)
        if (*host) connections[(*count)++].host = host;
    return connections;
}

int main(int argc, char **argv)
{
    Connection *connections = NULL;
    int option, count = 0;
    while ((option = getopt(argc, argv, "+p:P:u:k:K:H:U")) != -1) {
        switch (option) {
        case 'p': job.port = atoi(optarg); break;
        case 'P': job.parallel = atoi(optarg); break;
        case 'u': job.user = optarg; break;
        case 'k': read_private_key(optarg); break;
        case 'K': job.host_key = decode(optarg, &job.host_key_length); break;
        case 'H': connections = read_hosts(optarg, &count); break;
        case 'U': job.is_upload = 1; break;
        default: return 2;
        }
    }
    job.steps = argv + optind;
    job.steps_count = argc - optind;
    if (!job.user || !job.private_key || !job.host_key || !connections || !job.steps_count ||
        (job.is_upload && job.steps_count != 2)) {
        fputs("reference: see the head of reference.c for its arguments\n", stderr);
        return 2;
    }
    if (job.is_upload) job.content = read_file(job.steps[0], &job.content_length);
    if (libssh2_init(0)) return 2;
    int failures = run(connections, count);
    if (failures) fprintf(stderr, "%d of %d hosts failed\n", failures, count);
    return failures ? 1 : 0;
}
