package com.example.ringback;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ReadListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletInputStream;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * A servlet filter (Jakarta, Tomcat 10 and later) that lets only new callbacks of the gateway through, their signature checked.
 *
 * <pre>
 * var filter = new RingbackFilter(RingbackFilter.secrets(System.getenv("RINGBACK_SIGNING_SECRET")));
 * FilterRegistration.Dynamic f = servletContext.addFilter("ringback", filter);
 * f.addMappingForUrlPatterns(EnumSet.of(DispatcherType.REQUEST), false, "/callbacks/*");
 * </pre>
 *
 * Behind it, your servlet (not an asynchronous one) reads the body as usual. What it throws is a failed attempt, and so is every
 * status but 2xx. Map it before everything that reads the body: whoever calls getParameter first has it consumed.
 */
public class RingbackFilter extends HttpFilter {

    private static final int TOLERANCE_SECONDS = 300;
    private static final int MAX_BODY = 1 << 20;

    private final transient List<String> secrets;
    private final transient Map<String, Boolean> seen = new LinkedHashMap<>() {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
            return size() > 100_000;
        }
    };

    public RingbackFilter(List<String> secrets) {
        this.secrets = List.copyOf(secrets);
        this.secrets.forEach(RingbackFilter::key);
    }

    @Override
    protected void doFilter(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        byte[] body = request.getInputStream().readNBytes(MAX_BODY + 1);
        if (body.length > MAX_BODY) {
            response.setStatus(413); // given up at once: the same bytes would be refused again
            return;
        }
        String id = request.getHeader("webhook-id");
        String reason = refusal(id, request.getHeader("webhook-timestamp"), request.getHeader("webhook-signature"), body);
        if (reason != null) {
            getServletContext().log("a callback is refused: " + reason);
            response.setStatus(401); // tried three times at most
            return;
        }
        Boolean done = begin(id);
        if (done != null) {
            // Done: a success. In progress in another thread: tried again later.
            response.setStatus(done ? 200 : 409);
            return;
        }
        boolean ended = false;
        try {
            chain.doFilter(new BufferedRequest(request, body), response);
            ended = response.getStatus() / 100 == 2;
        } finally {
            end(id, ended);
        }
    }

    /** Why it does not come from the gateway, or is old; null: one of the secrets has signed these bytes. */
    private String refusal(String id, String timestamp, String signatures, byte[] body) {
        if (id == null || timestamp == null || signatures == null) {
            return "unsigned";
        }
        if (!timestamp.matches("[0-9]{1,12}")) {
            return "malformed timestamp";
        }
        if (Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(timestamp)) > TOLERANCE_SECONDS) {
            return "old timestamp";
        }
        boolean matches = false;
        for (String secret : secrets) {
            byte[] expected = sign(secret, id, timestamp, body).getBytes(StandardCharsets.UTF_8);
            // Several, separated by spaces, while a secret is being changed: one match is enough.
            for (String signature : signatures.split(" ")) {
                // In constant time: equals would tell by its duration how much of a forged signature is right.
                matches |= MessageDigest.isEqual(expected, signature.getBytes(StandardCharsets.UTF_8));
            }
        }
        return matches ? null : "wrong signature";
    }

    private static final String NO_SECRET =
            "RINGBACK_SIGNING_SECRET: a secret is whsec_ and base64, as in signing_secrets of the gateway's settings";

    /** Throws for what is no secret. Called at the start, since a wrong one would refuse every callback. */
    private static byte[] key(String secret) {
        if (!secret.matches("whsec_[A-Za-z0-9+/]{2,}={0,2}")) {
            throw new IllegalArgumentException(NO_SECRET);
        }
        try {
            return Base64.getDecoder().decode(secret.substring("whsec_".length()));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(NO_SECRET, e);
        }
    }

    /** Several, separated by spaces or commas, while a secret is being changed. */
    public static List<String> secrets(String text) {
        List<String> secrets = List.of((text == null ? "" : text).replaceAll("^[ ,]+", "").split("[ ,]+"));
        secrets.forEach(RingbackFilter::key);
        return secrets;
    }

    private static String sign(String secret, String id, String timestamp, byte[] payload) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key(secret), "HmacSHA256"));
            mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
            return "v1," + Base64.getEncoder().encodeToString(mac.doFinal(payload));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e); // every JDK has HmacSHA256
        }
    }

    /**
     * Null for a new one, which is then in progress; else whether it is done. At least once is the promise, so repeats do come, with
     * the same webhook-id. In memory: good for one process until its restart. In earnest, override this and {@link #end} with a
     * table whose index is unique, in the transaction that does the work.
     */
    protected Boolean begin(String id) {
        synchronized (seen) {
            return seen.putIfAbsent(id, false);
        }
    }

    protected void end(String id, boolean done) {
        synchronized (seen) {
            if (done) {
                seen.put(id, true);
            } else {
                // Forgotten, or the gateway's next attempt would be dropped as a repeat.
                seen.remove(id);
            }
        }
    }

    /** The request with the bytes that were checked, for the servlet to read. */
    private static final class BufferedRequest extends HttpServletRequestWrapper {
        private final byte[] body;

        BufferedRequest(HttpServletRequest request, byte[] body) {
            super(request);
            this.body = body;
        }

        @Override
        public ServletInputStream getInputStream() {
            ByteArrayInputStream bytes = new ByteArrayInputStream(body);
            return new ServletInputStream() {
                @Override
                public int read() {
                    return bytes.read();
                }

                @Override
                public int read(byte[] buffer, int offset, int length) {
                    return bytes.read(buffer, offset, length);
                }

                @Override
                public boolean isFinished() {
                    return bytes.available() == 0;
                }

                @Override
                public boolean isReady() {
                    return true;
                }

                @Override
                public void setReadListener(ReadListener listener) {
                    throw new IllegalStateException("the body is there already: read it");
                }
            };
        }

        @Override
        public BufferedReader getReader() {
            return new BufferedReader(new InputStreamReader(getInputStream(), StandardCharsets.UTF_8));
        }
    }
}
