package com.example.ringback;

import java.nio.charset.StandardCharsets;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RestController;

/**
 * Receives callbacks in a Spring Boot 3 application at http://127.0.0.1:8080/callbacks/ringback, their signature checked. Copy it and
 * {@code RingbackFilter.java} below your application's package, and change their {@code package} line; setting:
 * {@code ringback.signing-secret=${RINGBACK_SIGNING_SECRET}} (several secrets with spaces or commas between them). With Spring
 * Security, permit {@code /callbacks/**} and except it from CSRF: the signature is its authentication.
 */
@Configuration
public class SpringReceiver {

    /** First in the chain, since filters that look at parameters would consume the body. */
    @Bean
    FilterRegistrationBean<RingbackFilter> ringbackFilter(@Value("${ringback.signing-secret}") String secrets) {
        var registration = new FilterRegistrationBean<>(new RingbackFilter(RingbackFilter.secrets(secrets)));
        registration.addUrlPatterns("/callbacks/*");
        registration.setOrder(Ordered.HIGHEST_PRECEDENCE);
        return registration;
    }
}

/** What comes here is from the gateway, fresh, and not handled before. */
@RestController
class RingbackCallbacks {

    private static final Logger LOG = LoggerFactory.getLogger(RingbackCallbacks.class);

    /** Your code. What it throws is answered with 500, and the gateway tries again later. */
    @PostMapping("/callbacks/ringback")
    void receive(@RequestHeader("webhook-id") String id, @RequestBody byte[] message) {
        LOG.info("handled {} {}", id, new String(message, StandardCharsets.UTF_8));
    }
}
