#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void leave(int signal) {
    pthread_mutex_lock(&lock);
    _exit(signal);
}

static void *work(void *nothing) {
    for (;;) pause();
    return nothing;
}

int main(void) {
    struct sigaction action = {.sa_handler = leave, .sa_flags = SA_NODEFER};
    sigaction(SIGTERM, &action, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    pthread_mutex_lock(&lock);
    FILE *target = fopen("target", "w");
    fprintf(target, "%d", getpid());
    fclose(target);
    close(creat("ready", 0644));
    work(NULL);
}
