"""Compiles the Spring files against declarations of the few names that they use, since Spring itself is not there: they are Java,
and agree with Ringback.java and RingbackFilter.java. Whether Spring takes them is not seen."""

import shutil

import languages

FILES = ("SpringCaller.java", "SpringReceiver.java")
ANNOTATIONS = {
    "org.springframework.beans.factory.annotation.Value": "String value();",
    "org.springframework.stereotype.Service": "",
    "org.springframework.context.annotation.Bean": "",
    "org.springframework.context.annotation.Configuration": "",
    "org.springframework.web.bind.annotation.PostMapping": "String value();",
    "org.springframework.web.bind.annotation.RequestBody": "",
    "org.springframework.web.bind.annotation.RequestHeader": "String value();",
    "org.springframework.web.bind.annotation.RestController": "",
}
TYPES = {
    "com.fasterxml.jackson.core.JsonProcessingException": "public class JsonProcessingException extends java.io.IOException {}",
    "com.fasterxml.jackson.databind.ObjectMapper": "public class ObjectMapper { public String writeValueAsString(Object value) "
    "throws com.fasterxml.jackson.core.JsonProcessingException { return null; } }",
    "org.slf4j.Logger": "public interface Logger { void info(String format, Object first, Object second); }",
    "org.slf4j.LoggerFactory": "public class LoggerFactory { public static Logger getLogger(Class<?> of) { return null; } }",
    "org.springframework.boot.web.servlet.FilterRegistrationBean": "public class FilterRegistrationBean"
    "<T extends jakarta.servlet.Filter> { public FilterRegistrationBean(T filter) {} "
    "public void addUrlPatterns(String... patterns) {} public void setOrder(int order) {} }",
    "org.springframework.core.Ordered": "public interface Ordered { int HIGHEST_PRECEDENCE = Integer.MIN_VALUE; }",
}


def compile_against_declarations(directory):
    directory.mkdir()
    sources = dict(TYPES)
    for name, members in ANNOTATIONS.items():
        sources[name] = f"public @interface {name.rpartition('.')[2]} {{ {members} }}"
    files = []
    for name, source in sources.items():
        package = name.rpartition(".")[0]
        file = directory / (name.replace(".", "/") + ".java")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"package {package};\n{source}\n")
        files.append(str(file))
    for name in ("Ringback.java", "RingbackFilter.java", *FILES):
        shutil.copy(languages.CLIENTS / name, directory)
        files.append(name)
    languages.built([*languages.JAVAC, "-cp", ":".join(languages.TOMCAT), *files], directory)
    print(f"{', '.join(FILES)}: compiled against declarations of the names that they use")
