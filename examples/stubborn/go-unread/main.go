package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	os.WriteFile("target", []byte(strconv.Itoa(os.Getpid())), 0o644)
	os.WriteFile("ready", nil, 0o644)
	time.Sleep(1000 * time.Second)
	<-signals
}
