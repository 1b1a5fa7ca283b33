package com.example.ringback;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Ringback from Java 17 and later, JDK alone: sends callbacks, and receives them with their signature checked.
 *
 * <pre>
 * RINGBACK_SIGNING_SECRET=whsec_... java Ringback.java receive 8080
 * RINGBACK_APP=demo RINGBACK_KEY=rbk_... java Ringback.java send http://127.0.0.1:8080/ '{"n":1}' order-1
 * </pre>
 *
 * RINGBACK_URL is the gateway (http://127.0.0.1:5106); RINGBACK_SECRET=whsec_... in place of RINGBACK_KEY signs each request (HMAC).
 */
public final class Ringback {

    // --- The signature, the same in both directions (Standard Webhooks) ---

    static final Duration TOLERANCE = Duration.ofMinutes(5);

    /** Throws for what is no secret. Called at the start, since a wrong one would refuse every callback. */
    private static byte[] key(String secret) {
        if (!secret.matches("whsec_[A-Za-z0-9+/]{2,}={0,2}")) {
            throw new IllegalArgumentException("a secret is whsec_ and base64");
        }
        try {
            return Base64.getDecoder().decode(secret.substring("whsec_".length()));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("a secret is whsec_ and base64", e);
        }
    }

    /** Several, separated by spaces or commas, while a secret is being changed. */
    public static List<String> secrets(String text) {
        List<String> secrets = List.of((text == null ? "" : text).replaceAll("^[ ,]+", "").split("[ ,]+"));
        secrets.forEach(Ringback::key);
        return secrets;
    }

    static String sign(String secret, String id, String timestamp, byte[] payload) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key(secret), "HmacSHA256"));
            mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
            return "v1," + Base64.getEncoder().encodeToString(mac.doFinal(payload));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e); // every JDK has HmacSHA256
        }
    }

    /** The request does not come from the gateway, or is old. */
    public static final class Refused extends Exception {
        Refused(String reason) {
            super(reason);
        }
    }

    /** Throws unless one of the secrets has signed it. The body is the bytes as they came, before any parsing. */
    public static void verify(List<String> secrets, String id, String timestamp, String signatures, byte[] body, Instant now)
            throws Refused {
        if (id == null || timestamp == null || signatures == null) {
            throw new Refused("unsigned");
        }
        if (!timestamp.matches("[0-9]{1,12}")) {
            throw new Refused("malformed timestamp");
        }
        if (Math.abs(now.getEpochSecond() - Long.parseLong(timestamp)) > TOLERANCE.toSeconds()) {
            throw new Refused("old timestamp");
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
        if (!matches) {
            throw new Refused("wrong signature");
        }
    }

    // --- The caller ---

    /** What the gateway answered. The status is there in answers to a query alone. */
    public record Answer(String requestId, String code, String msg, String status, String json) {
        public boolean isFinal() {
            return status != null && Set.of("delivered", "dead", "expired", "cancelled").contains(status);
        }
    }

    /**
     * The gateway did not answer that it took the callback. {@code unknown}: it may have taken it: ask again with the same
     * idempotency key, or query {@code requestId} if there is one. Otherwise it is definitely not queued, and the message says what
     * to correct.
     */
    public static final class RingbackException extends Exception {
        public final String code;
        public final String requestId;
        public final boolean unknown;

        RingbackException(String code, String msg, String requestId, boolean unknown) {
            super(code + " " + msg);
            this.code = code;
            this.requestId = requestId;
            this.unknown = unknown;
        }
    }

    // The gateway's own trouble, or too much at a time: the same request can succeed a moment later. Everything else (400, 401, 403,
    // 404, 409, 413, 415, 501) would be answered the same again. 502 and 504 come from balancers before the gateway.
    private static final Set<String> REPEATED = Set.of("network", "408", "429", "500", "502", "503", "504");
    private static final Duration TIMEOUT = Duration.ofSeconds(10);
    private static final int ATTEMPTS = 5;

    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(5))
            .followRedirects(HttpClient.Redirect.NEVER)
            .build();
    private final String url;
    private final String appId;
    private final String key;
    private final String secret;

    /** Give it a key where the gateway's auth.mode is bearer, a secret where it is hmac, neither (null) where it is open. */
    public Ringback(String url, String appId, String key, String secret) {
        if (!url.matches("(?i)https?://(\\[[0-9a-f:.]+\\]|[^/:\\s]+)(:[0-9]{1,5})?(/\\S*)?")) {
            throw new IllegalArgumentException("RINGBACK_URL: the gateway is http://HOST:PORT, not \"" + url + "\"");
        }
        if (key != null && !key.matches("[!-~]+")) {
            throw new IllegalArgumentException("RINGBACK_KEY: a key is rbk_ and more, without spaces");
        }
        this.url = url.replaceAll("/+$", "");
        this.appId = appId;
        this.key = key;
        this.secret = secret;
        if (secret != null) {
            try {
                key(secret);
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException("RINGBACK_SECRET: " + e.getMessage() + ", as ringback key APP --hmac prints it", e);
            }
        }
    }

    /**
     * Sends one callback, and repeats it while the gateway cannot take it.
     *
     * @param target a URL, or the number of a registered callee
     * @param message the text of a JSON object (your ObjectMapper's), which reaches the target as it is
     * @param idempotencyKey names the event (an order's number and state), so that a repeat makes no second callback, not even by
     *     another process of yours. Within 24 hours, and always with the same text: so store the text, or build it without a clock.
     * @param wait hold the answer so long until the first attempt has ended; zero: until it is durably queued
     */
    public Answer send(String target, String messageType, String message, String idempotencyKey, Duration wait)
            throws RingbackException, InterruptedException {
        String name = target.contains("://") ? "callback_url" : "callee_no";
        String body = "{\"" + name + "\":" + quote(target) + ",\"app_id\":" + quote(appId) + ",\"message_type\":"
                + quote(messageType) + ",\"request_message\":" + message + "}";
        return repeat("POST", "/api/callback", body.getBytes(StandardCharsets.UTF_8), idempotencyKey, wait);
    }

    /** What became of a callback. A 404 says that the gateway knows no such callback of this app. */
    public Answer query(String requestId, Duration wait) throws RingbackException, InterruptedException {
        String id = URLEncoder.encode(requestId, StandardCharsets.UTF_8);
        return repeat("GET", "/api/callback/" + id, null, null, wait);
    }

    /** Asks until the callback is delivered or given up, or the time is over: look at the status of what it returns. */
    public Answer untilFinal(String requestId, Duration timeout) throws RingbackException, InterruptedException {
        long end = System.nanoTime() + timeout.toNanos();
        while (true) {
            long asked = System.nanoTime();
            long left = Duration.ofNanos(end - asked).toSeconds();
            Answer found = query(requestId, Duration.ofSeconds(Math.max(1, Math.min(20, left))));
            if (found.isFinal() || System.nanoTime() >= end) {
                return found;
            }
            // A gateway that is stopping, or allows no wait, answers at once.
            Thread.sleep(Math.max(0, 1000 - Duration.ofNanos(System.nanoTime() - asked).toMillis()));
        }
    }

    private Answer repeat(String method, String path, byte[] body, String idempotencyKey, Duration wait)
            throws RingbackException, InterruptedException {
        boolean unknown = false;
        String requestId = null;
        for (int attempt = 1; ; attempt++) {
            String code;
            String msg;
            long retryAfter = 0;
            try {
                HttpResponse<String> response = once(method, path, body, idempotencyKey, wait);
                String given = response.headers().firstValue("retry-after").orElse("0");
                retryAfter = given.matches("[0-9]{1,9}") ? Long.parseLong(given) : 0;
                // The code in the body counts: the operator may have all answers sent with HTTP 200 (ingress.http_status).
                // A balancer's page has none: its status decides.
                String json = response.body();
                code = field(json, "code", String.valueOf(response.statusCode()));
                msg = field(json, "msg", "");
                requestId = field(json, "request_id", requestId);
                if (Set.of("000", "202", "500500").contains(code)) {
                    return new Answer(requestId, code, msg, field(json, "status", null), json);
                }
                // With a request_id the callback may be delivered all the same.
                unknown |= requestId != null || code.equals("502") || code.equals("504");
            } catch (ConnectException | HttpConnectTimeoutException e) {
                // Refused, timed out, no such host: there was no connection, so nothing was sent.
                code = "network";
                msg = url + " does not answer (RINGBACK_URL names the gateway)";
            } catch (IOException e) {
                // Not even this says that the request did not arrive: a time-out is no refusal.
                code = "network";
                msg = url + ": " + e;
                unknown = true;
            }
            if (attempt == ATTEMPTS || !REPEATED.contains(code)) {
                throw new RingbackException(code, msg, requestId, unknown && method.equals("POST"));
            }
            double pause = Math.min(8000, 250 << attempt) * ThreadLocalRandom.current().nextDouble(0.5, 1);
            Thread.sleep(Math.max((long) pause, Math.min(30, retryAfter) * 1000));
        }
    }

    private HttpResponse<String> once(String method, String path, byte[] body, String idempotencyKey, Duration wait)
            throws IOException, InterruptedException {
        URI uri = URI.create(url + path);
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).timeout(TIMEOUT.plus(wait));
        if (body == null) {
            request.method(method, HttpRequest.BodyPublishers.noBody());
        } else {
            request.method(method, HttpRequest.BodyPublishers.ofByteArray(body)).header("content-type", "application/json");
        }
        if (idempotencyKey != null) {
            request.header("idempotency-key", idempotencyKey);
        }
        if (wait.toSeconds() > 0) {
            request.header("prefer", "wait=" + wait.toSeconds());
        }
        if (key != null) {
            request.header("authorization", "Bearer " + key);
        }
        if (secret != null) {
            // A new id and time for each attempt: a signed request is accepted once. The idempotency key stays.
            String id = UUID.randomUUID().toString();
            String timestamp = String.valueOf(Instant.now().getEpochSecond());
            byte[] payload = body != null ? body : (method + " " + uri.getRawPath()).getBytes(StandardCharsets.UTF_8);
            request.header("x-callback-app-id", percentEncode(appId));
            request.header("webhook-id", id);
            request.header("webhook-timestamp", timestamp);
            request.header("webhook-signature", sign(secret, id, timestamp, payload));
        }
        return http.send(request.build(), HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
    }

    private static String percentEncode(String text) {
        StringBuilder encoded = new StringBuilder();
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
            boolean plain = b >= 0x21 && b <= 0x7e && b != '%';
            encoded.append(plain ? String.valueOf((char) b) : String.format("%%%02X", b));
        }
        return encoded.toString();
    }

    private static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < 0x20) {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    /**
     * The first string of this name. The JDK has no JSON parser, and for the gateway's answers this is enough: request_id, code, msg
     * and status come before everything nested, and within a string a quote has a backslash before it. Use yours for the rest.
     */
    private static String field(String json, String name, String otherwise) {
        Matcher matcher = Pattern.compile("\"" + name + "\"\\s*:\\s*\"((?:[^\"\\\\]|\\\\.)*)\"").matcher(json);
        return matcher.find() ? matcher.group(1) : otherwise;
    }

    // --- The receiver ---

    private static final int MAX_BODY = 1 << 20;

    /**
     * Which callbacks have been handled. At least once is the promise, so repeats do come, with the same webhook-id.
     *
     * <p>In memory: good for one process until its restart. In earnest, insert the id into a table with a unique index, in the
     * transaction that does the work.
     */
    static final class Seen {
        private final Map<String, Boolean> ids = new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
                return size() > 100_000;
            }
        };

        /** Null for a new one, which is then in progress; else whether it is done. */
        synchronized Boolean begin(String id) {
            return ids.putIfAbsent(id, false);
        }

        synchronized void end(String id, boolean done) {
            if (done) {
                ids.put(id, true);
            } else {
                // Forgotten, or the gateway's next attempt would be dropped as a repeat.
                ids.remove(id);
            }
        }
    }

    /** Your code. What it throws is answered with 500, and the gateway tries again later. */
    public interface Handler {
        void handle(String id, String messageType, byte[] message) throws Exception;
    }

    /** A server on this machine; others reach it when it listens on another address. The caller starts it. */
    public static HttpServer receiver(int port, List<String> secrets, Handler handler) throws IOException {
        secrets.forEach(Ringback::key);
        // Seconds for a request to arrive: for a sender that stops in the middle. Read once, by the first server of the process.
        System.setProperty("sun.net.httpserver.maxReqTime", "10");
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.setExecutor(Executors.newFixedThreadPool(16));
        Seen seen = new Seen();
        server.createContext("/", exchange -> {
            try (exchange) {
                int status = 500;
                try {
                    status = receive(exchange, secrets, seen, handler);
                } catch (RuntimeException e) {
                    System.out.println("failed " + e);
                }
                exchange.sendResponseHeaders(status, -1);
            }
        });
        return server;
    }

    private static int receive(HttpExchange exchange, List<String> secrets, Seen seen, Handler handler) throws IOException {
        if (!exchange.getRequestMethod().equals("POST")) {
            return 405;
        }
        byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY + 1);
        if (body.length > MAX_BODY) {
            return 413; // given up at once: the same bytes would be refused again
        }
        var headers = exchange.getRequestHeaders();
        String id = headers.getFirst("webhook-id");
        try {
            String timestamp = headers.getFirst("webhook-timestamp");
            verify(secrets, id, timestamp, headers.getFirst("webhook-signature"), body, Instant.now());
        } catch (Refused e) {
            System.out.println("refused " + e.getMessage());
            return 401; // tried three times at most
        }
        Boolean done = seen.begin(id);
        if (done != null) {
            System.out.println("duplicate " + id);
            return done ? 200 : 409; // done: a success; in progress in another thread: tried again later
        }
        boolean ended = false;
        try {
            String type = headers.getFirst("x-callback-message-type");
            // A plus is a plus here, unlike in a form.
            type = type == null ? "" : URLDecoder.decode(type.replace("+", "%2B"), StandardCharsets.UTF_8);
            handler.handle(id, type, body);
            ended = true;
        } catch (Exception e) { // whatever it is, the gateway must hear of it
            System.out.println("failed " + id + " " + e);
        } finally {
            seen.end(id, ended);
        }
        return ended ? 200 : 500;
    }

    // --- The command line ---

    /** A status for people: with why it was given up, and how the last attempt ended. */
    private static String ending(Answer found) {
        String why = field(found.json(), "reason", "");
        Matcher number = Pattern.compile("\"number\"\\s*:\\s*([0-9]+)").matcher(found.json());
        String last = "";
        while (number.find()) {
            String attempt = found.json().substring(number.end());
            String outcome = field(attempt, "outcome", "");
            Matcher status = Pattern.compile("\"http_status\"\\s*:\\s*([0-9]+)").matcher(attempt);
            last = "attempt " + number.group(1) + ": " + (outcome.startsWith("answered_") && status.find() ? status.group(1) : outcome);
        }
        why += (why.isEmpty() || last.isEmpty() ? "" : "; ") + last;
        return found.status() + ("delivered".equals(found.status()) || why.isEmpty() ? "" : " (" + why + ")");
    }

    /** What is wrong with a setting, in one line. */
    private static void fail(String line) {
        System.err.println(line);
        System.exit(1);
    }

    private static void receive(String port, String given) {
        List<String> secrets = List.of();
        try {
            secrets = secrets(given);
        } catch (IllegalArgumentException e) {
            fail("RINGBACK_SIGNING_SECRET: " + e.getMessage() + ", as in signing_secrets of the gateway's settings");
        }
        try {
            HttpServer server = receiver(Integer.parseInt(port), secrets, (id, type, message) ->
                    System.out.println("handled " + id + " " + new String(message, StandardCharsets.UTF_8)));
            server.start();
            System.out.println("listening on http://127.0.0.1:" + server.getAddress().getPort() + "/");
        } catch (IOException | IllegalArgumentException e) {
            fail("cannot listen on port " + port + ": " + e.getMessage() + "; give another");
        }
    }

    private static String setting(String name, String otherwise) {
        String given = System.getenv(name);
        return given == null || given.isEmpty() ? otherwise : given;
    }

    public static void main(String[] arguments) throws InterruptedException {
        if (arguments.length == 2 && arguments[0].equals("receive")) {
            receive(arguments[1], setting("RINGBACK_SIGNING_SECRET", ""));
            return;
        }
        if ((arguments.length == 3 || arguments.length == 4) && arguments[0].equals("send")) {
            String key = arguments.length == 4 ? arguments[3] : UUID.randomUUID().toString();
            try {
                Ringback ringback = new Ringback(setting("RINGBACK_URL", "http://127.0.0.1:5106"), setting("RINGBACK_APP", "demo"),
                        setting("RINGBACK_KEY", null), setting("RINGBACK_SECRET", null));
                Answer answer = ringback.send(arguments[1], "test", arguments[2], key, Duration.ofSeconds(5));
                System.out.println("accepted " + answer.requestId() + " " + answer.code());
                Answer found = ringback.untilFinal(answer.requestId(), Duration.ofMinutes(1));
                System.out.println("final " + ending(found));
                System.exit("delivered".equals(found.status()) ? 0 : 1);
            } catch (RingbackException e) {
                System.err.println((e.unknown ? "unknown: " : "refused: ") + e.getMessage());
                System.exit(1);
            } catch (IllegalArgumentException e) {
                fail(e.getMessage());
            }
        }
        System.err.println("usage: java Ringback.java receive PORT | send TARGET MESSAGE [IDEMPOTENCY_KEY]");
        System.exit(2);
    }
}
