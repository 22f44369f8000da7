#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int held;

static void end(int signal) { (void)signal; }

static void *run(void *argument) {
    pthread_mutex_lock(&lock);
    held = 1;
    for (;;)
        pause();
    return argument;
}

int main(void) {
    pthread_t worker;
    pthread_create(&worker, NULL, run, NULL);
    while (!held)
        usleep(1000);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGTERM, end);
        FILE *file = fopen("target", "w");
        fprintf(file, "%d\n", getpid());
        fclose(file);
        fclose(fopen("ready", "w"));
        pthread_mutex_lock(&lock);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return 0;
}
