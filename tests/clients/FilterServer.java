package com.example.ringback;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.List;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;

/** The servlet filter in a Tomcat of its own, before a servlet that fails where the message asks for it, once. */
final class FilterServer {
    public static void main(String[] arguments) throws Exception {
        String directory = Files.createTempDirectory(java.nio.file.Path.of(arguments[0]), "tomcat").toString();
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(directory);
        Connector connector = new Connector();
        connector.setProperty("address", "127.0.0.1");
        connector.setPort(0);
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", directory);
        FilterDef filter = new FilterDef();
        filter.setFilterName("ringback");
        filter.setFilter(new RingbackFilter(List.of(System.getenv("RINGBACK_SIGNING_SECRET").split(" "))));
        context.addFilterDef(filter);
        FilterMap map = new FilterMap();
        map.setFilterName("ringback");
        map.addURLPattern("/*");
        context.addFilterMap(map);
        Tomcat.addServlet(context, "target", new Target());
        context.addServletMappingDecoded("/", "target");
        tomcat.start();
        System.out.println("listening on http://127.0.0.1:" + connector.getLocalPort() + "/");
        tomcat.getServer().await();
    }

    private static final class Target extends HttpServlet {
        private boolean failed;

        @Override
        protected synchronized void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
            String message = new String(request.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (message.contains("fail-once") && !failed) {
                failed = true;
                throw new IllegalStateException("as the message asks");
            }
            System.out.println("handled " + request.getHeader("webhook-id") + " " + message);
        }
    }
}
