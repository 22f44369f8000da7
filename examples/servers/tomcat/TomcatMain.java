import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.catalina.Container;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.core.StandardWrapper;
import org.apache.catalina.startup.Tomcat;

/** Embedded Tomcat in one jar, which ends as Spring Boot's {@code server.shutdown=graceful} ends it. */
public class TomcatMain {
    public static void main(String[] args) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(Integer.parseInt(System.getenv("PORT")));
        Connector connector = tomcat.getConnector();
        connector.setProperty("address", "127.0.0.1");

        Context context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "hello", new Hello());
        context.addServletMappingDecoded("/", "hello");

        Runtime.getRuntime().addShutdownHook(new Thread(() -> shutDown(tomcat, connector, context)));
        tomcat.start();
        tomcat.getServer().await();
    }

    static class Hello extends HttpServlet {
        private final byte[] body =
                ("hello from tomcat " + ProcessHandle.current().pid() + "\n").getBytes(StandardCharsets.UTF_8);

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            try {
                Thread.sleep(ThreadLocalRandom.current().nextInt(50));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            response.setContentType("text/plain");
            response.setContentLength(body.length);
            response.getOutputStream().write(body);
        }
    }

    private static void shutDown(Tomcat tomcat, Connector connector, Context context) {
        try {
            connector.pause();
            connector.getProtocolHandler().closeServerSocketGraceful();
            while (isActive(context)) {
                Thread.sleep(50);
            }
            tomcat.stop();
        } catch (Exception e) {
            System.err.println("shutdown: " + e);
        }
    }

    private static boolean isActive(Context context) {
        for (Container child : context.findChildren()) {
            if (((StandardWrapper) child).getCountAllocated() > 0) {
                return true;
            }
        }
        return false;
    }
}
