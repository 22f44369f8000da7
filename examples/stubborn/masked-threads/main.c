#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void leave(int signal) { _exit(signal); }

static void *work(void *nothing) {
    for (;;) pause();
    return nothing;
}

int main(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    signal(SIGTERM, leave);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_t thread;
    for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, work, NULL);
    FILE *target = fopen("target", "w");
    fprintf(target, "%d", getpid());
    fclose(target);
    close(creat("ready", 0644));
    work(NULL);
}
