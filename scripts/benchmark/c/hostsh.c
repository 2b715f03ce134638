/* The login shell of the benchmark's hosts. One sshd answers every address; this gives each
 * address a home of its own, HOSTS/ADDRESS, as if it were a machine, and leaves one byte in
 * HOSTS/ADDRESS/visits per login, so that the benchmark can tell which hosts were reached. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    (void)argc;
    const char *connection = getenv("SSH_CONNECTION"); /* client, its port, address, port */
    char address[64], home[512];
    if (!connection || sscanf(connection, "%*s %*s %63s", address) != 1) {
        fputs("hostsh: only for the benchmark's sshd\n", stderr);
        return 96;
    }
    snprintf(home, sizeof home, "%s/%s", HOSTS, address);
    if (chdir(home) != 0) {
        perror(home);
        return 97;
    }
    setenv("HOME", home, 1);
    int visits = open("visits", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (visits < 0 || write(visits, "x", 1) != 1) {
        perror("visits");
        return 97;
    }
    argv[0] = "sh";
    execv("/bin/sh", argv);
    perror("/bin/sh");
    return 98;
}
