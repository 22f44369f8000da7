import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;

class Main {
    public static void main(String[] arguments) throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(Main::flush, "flush-to-nowhere"));
        Files.writeString(Path.of("target"), Long.toString(ProcessHandle.current().pid()));
        Files.writeString(Path.of("ready"), "");
        Thread.sleep(1_000_000);
    }

    static void flush() {
        try {
            new CountDownLatch(1).await();
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }
}
