#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static void leave(int signal) { _exit(signal); }

int main(void) {
    signal(SIGTERM, leave);
    FILE *target = fopen("target", "w");
    fprintf(target, "%d", getpid());
    fclose(target);
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(creat("ready", 0644));
        sleep(1000);
        _exit(0);
    }
}
