package com.example.ringback;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.stereotype.Service;

/**
 * Sends callbacks from a Spring Boot 3 application. Copy it and {@code Ringback.java} below your application's package, and change
 * their {@code package} line. In Spring Boot 4, write {@code tools.jackson.databind.json.JsonMapper} in place of {@code ObjectMapper},
 * and {@code tools.jackson.core.JacksonException} in place of {@code JsonProcessingException}. Settings:
 *
 * <pre>
 * ringback.url=http://127.0.0.1:5106
 * ringback.app-id=demo
 * ringback.key=${RINGBACK_KEY:}
 * ringback.secret=${RINGBACK_SECRET:}
 * </pre>
 */
@Service
public class SpringCaller {

    private final Ringback ringback;
    private final ObjectMapper mapper;

    public SpringCaller(
            @Value("${ringback.url}") String url,
            @Value("${ringback.app-id}") String appId,
            @Value("${ringback.key:}") String key,
            @Value("${ringback.secret:}") String secret,
            ObjectMapper mapper) {
        this.ringback = new Ringback(url, appId, key.isBlank() ? null : key, secret.isBlank() ? null : secret);
        this.mapper = mapper;
    }

    /**
     * Hands a callback to the gateway and returns its request_id: store it beside the event. Repeats are made within, for up to a
     * minute, so call it outside of transactions. {@code idempotencyKey} names the event ("order-4711-paid"), and the same event
     * must give the same text: no clock and no HashMap in the message.
     *
     * @param target a URL, or the number of a registered callee
     * @throws Ringback.RingbackException look at {@code unknown}: whether the gateway may have taken it
     */
    public String send(String target, String messageType, Object message, String idempotencyKey)
            throws Ringback.RingbackException, InterruptedException, JsonProcessingException {
        String json = mapper.writeValueAsString(message);
        return ringback.send(target, messageType, json, idempotencyKey, Duration.ZERO).requestId();
    }

    /** Whether it has been delivered by now; false as well while it is still being tried, and when it was given up. */
    public boolean delivered(String requestId) throws Ringback.RingbackException, InterruptedException {
        return "delivered".equals(ringback.query(requestId, Duration.ZERO).status());
    }
}
