// Ringback from Go 1.19 and later, standard library alone: sends callbacks, and receives them with their signature checked.
//
//	RINGBACK_SIGNING_SECRET=whsec_... go run ringback.go receive 8080
//	RINGBACK_APP=demo RINGBACK_KEY=rbk_... go run ringback.go send http://127.0.0.1:8080/ '{"n":1}' order-1
//
// RINGBACK_URL is the gateway (http://127.0.0.1:5106); RINGBACK_SECRET=whsec_... in place of RINGBACK_KEY signs each request (HMAC).
package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// --- The signature, the same in both directions (Standard Webhooks) ---

const tolerance = 300 // seconds between the sender's clock and ours

// Secret is the key of a secret. It is read at the start, since a wrong one would refuse every callback.
type Secret []byte

// ParseSecret reads whsec_ and base64.
func ParseSecret(text string) (Secret, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	if err != nil || !strings.HasPrefix(text, "whsec_") || len(key) == 0 {
		return nil, errors.New("a secret is whsec_ and base64")
	}
	return key, nil
}

// ParseSecrets reads several, separated by spaces or commas, while a secret is being changed.
func ParseSecrets(text string) ([]Secret, error) {
	var secrets []Secret
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		secret, err := ParseSecret(one)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, errors.New("a secret is whsec_ and base64")
	}
	return secrets, nil
}

func (s Secret) sign(id, timestamp string, payload []byte) string {
	mac := hmac.New(sha256.New, s)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(payload)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Verify returns the webhook-id of a request that one of the secrets has signed. The body is the bytes as they came, before any
// parsing.
func Verify(secrets []Secret, header http.Header, body []byte, now time.Time) (string, error) {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	signatures := header.Get("webhook-signature")
	if id == "" || timestamp == "" || signatures == "" {
		return "", errors.New("unsigned")
	}
	seconds, err := strconv.ParseUint(timestamp, 10, 40)
	if err != nil {
		return "", errors.New("malformed timestamp")
	}
	if age := now.Unix() - int64(seconds); age > tolerance || age < -tolerance {
		return "", errors.New("old timestamp")
	}
	matches := false
	for _, secret := range secrets {
		expected := secret.sign(id, timestamp, body)
		// Several, separated by spaces, while a secret is being changed: one match is enough.
		for _, signature := range strings.Split(signatures, " ") {
			// In constant time: == would tell by its duration how much of a forged signature is right.
			if hmac.Equal([]byte(expected), []byte(signature)) {
				matches = true
			}
		}
	}
	if !matches {
		return "", errors.New("wrong signature")
	}
	return id, nil
}

// --- The caller ---

// Answer is what the gateway answered. Status is there in answers to a query alone.
type Answer struct {
	RequestID string `json:"request_id"`
	Code      string `json:"code"`
	Msg       string `json:"msg"`
	Status    string `json:"status"`
	Reason    string `json:"reason"`
	Attempts  []struct {
		Number     int    `json:"number"`
		Outcome    string `json:"outcome"`
		HTTPStatus int    `json:"http_status"`
	} `json:"attempts"`
}

func (a Answer) final() bool {
	return a.Status == "delivered" || a.Status == "dead" || a.Status == "expired" || a.Status == "cancelled"
}

// Error says that the gateway did not answer that it took the callback. Unknown: it may have taken it: ask again with the same
// idempotency key, or query RequestID if there is one. Otherwise it is definitely not queued, and Msg says what to correct.
type Error struct {
	Code, Msg, RequestID string
	Unknown              bool
}

func (e *Error) Error() string { return e.Code + " " + e.Msg }

// The gateway's own trouble, or too much at a time: the same request can succeed a moment later. Everything else (400, 401, 403,
// 404, 409, 413, 415, 501) would be answered the same again. 502 and 504 come from balancers before the gateway.
var repeated = map[string]bool{"network": true, "408": true, "429": true, "500": true, "502": true, "503": true, "504": true}

// Ringback is a caller. Give it Key where the gateway's auth.mode is bearer, Secret where it is hmac, neither where it is open.
type Ringback struct {
	URL, AppID, Key string
	Secret          Secret
}

const (
	timeout  = 10 * time.Second
	attempts = 5
)

var client = &http.Client{
	Transport:     transport(),
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func transport() http.RoundTripper {
	own := http.DefaultTransport.(*http.Transport).Clone()
	// Less than a request may take, so that its end is known as one of the connection.
	own.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	return own
}

// unreached tells whether there was no connection (refused, timed out, no such host): then nothing was sent.
func unreached(err error) bool {
	failure := new(net.OpError)
	return errors.As(err, &failure) && failure.Op == "dial"
}

// Send sends one callback, and repeats it while the gateway cannot take it.
//
// The target is a URL or the number of a registered callee; the message a JSON object, whose bytes reach the target as they are.
// The idempotency key names the event (an order's number and state), so that a repeat makes no second callback, not even by
// another process of yours. Within 24 hours, and always with the same bytes: so store the bytes, or build them without a clock.
// Wait: hold the answer so long until the first attempt has ended; zero: until it is durably queued.
func (r *Ringback) Send(ctx context.Context, target, messageType string, message []byte, key string, wait time.Duration) (Answer, error) {
	name := "callee_no"
	if strings.Contains(target, "://") {
		name = "callback_url"
	}
	fields, err := json.Marshal(map[string]string{name: target, "app_id": r.AppID, "message_type": messageType})
	if err != nil {
		return Answer{}, err
	}
	// Put together by hand: json.Marshal would compact a RawMessage, and the bytes would no longer be yours.
	body := append(fields[:len(fields)-1], `,"request_message":`...)
	body = append(append(body, message...), '}')
	return r.repeat(ctx, http.MethodPost, "/api/callback", body, key, wait)
}

// Query tells what became of a callback. A 404 says that the gateway knows no such callback of this app.
func (r *Ringback) Query(ctx context.Context, requestID string, wait time.Duration) (Answer, error) {
	return r.repeat(ctx, http.MethodGet, "/api/callback/"+url.PathEscape(requestID), nil, "", wait)
}

// UntilFinal asks until the callback is delivered or given up, or the time is over: look at the Status of what it returns.
func (r *Ringback) UntilFinal(ctx context.Context, requestID string, limit time.Duration) (Answer, error) {
	end := time.Now().Add(limit)
	for {
		asked := time.Now()
		wait := end.Sub(asked)
		if wait > 20*time.Second {
			wait = 20 * time.Second
		}
		if wait < time.Second {
			wait = time.Second
		}
		found, err := r.Query(ctx, requestID, wait)
		if err != nil || found.final() || time.Now().After(end) {
			return found, err
		}
		// A gateway that is stopping, or allows no wait, answers at once.
		if err := pause(ctx, time.Second-time.Since(asked)); err != nil {
			return found, err
		}
	}
}

func pause(ctx context.Context, length time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(length):
		return nil
	}
}

func (r *Ringback) repeat(ctx context.Context, method, path string, body []byte, key string, wait time.Duration) (Answer, error) {
	if base, err := url.Parse(r.URL); err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return Answer{}, fmt.Errorf("RINGBACK_URL: the gateway is http://HOST:PORT, not %q", r.URL)
	}
	failure := &Error{}
	for attempt := 1; ; attempt++ {
		answer, retryAfter, err := r.once(ctx, method, path, body, key, wait)
		if unreached(err) {
			failure.Code, failure.Msg = "network", r.URL+" does not answer (RINGBACK_URL names the gateway)"
		} else if err != nil {
			// Not even this says that the request did not arrive: a time-out is no refusal. The error names the URL.
			failure.Code, failure.Msg, failure.Unknown = "network", err.Error(), true
		} else {
			// The code in the body counts: the operator may have all answers sent with HTTP 200 (ingress.http_status).
			if answer.Code == "000" || answer.Code == "202" || answer.Code == "500500" {
				return answer, nil
			}
			failure.Code, failure.Msg = answer.Code, answer.Msg
			if answer.RequestID != "" {
				failure.RequestID = answer.RequestID
			}
			// With a request_id the callback may be delivered all the same.
			if failure.RequestID != "" || answer.Code == "502" || answer.Code == "504" {
				failure.Unknown = true
			}
		}
		if attempt == attempts || !repeated[failure.Code] || ctx.Err() != nil {
			failure.Unknown = failure.Unknown && method == http.MethodPost
			return Answer{}, failure
		}
		length := 250 * time.Millisecond << attempt
		length = length/2 + time.Duration(rand.Int63n(int64(length/2)))
		if retryAfter > 30*time.Second {
			retryAfter = 30 * time.Second
		}
		if length < retryAfter {
			length = retryAfter
		}
		if err := pause(ctx, length); err != nil {
			return Answer{}, failure
		}
	}
}

func (r *Ringback) once(ctx context.Context, method, path string, body []byte, key string, wait time.Duration) (Answer, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+wait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(r.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, 0, err
	}
	// net/http would repeat a request with an idempotency key by itself, with the same signature.
	request.GetBody = nil
	header := request.Header
	if body != nil {
		header.Set("content-type", "application/json")
	}
	if key != "" {
		header.Set("idempotency-key", key)
	}
	if seconds := int(wait / time.Second); seconds > 0 {
		header.Set("prefer", fmt.Sprintf("wait=%d", seconds))
	}
	if r.Key != "" {
		header.Set("authorization", "Bearer "+r.Key)
	}
	if r.Secret != nil {
		// A new id and time for each attempt: a signed request is accepted once. The idempotency key stays.
		id, timestamp, payload := randomID(), strconv.FormatInt(time.Now().Unix(), 10), body
		if payload == nil {
			payload = []byte(method + " " + request.URL.EscapedPath())
		}
		header.Set("x-callback-app-id", percentEncode(r.AppID))
		header.Set("webhook-id", id)
		header.Set("webhook-timestamp", timestamp)
		header.Set("webhook-signature", r.Secret.sign(id, timestamp, payload))
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return Answer{}, 0, err
	}
	var answer Answer
	if json.Unmarshal(text, &answer) != nil || answer.Code == "" {
		answer = Answer{Code: strconv.Itoa(response.StatusCode)} // a balancer's page: its status decides
	}
	seconds, _ := strconv.Atoi(response.Header.Get("retry-after"))
	return answer, time.Duration(seconds) * time.Second, nil
}

func randomID() string {
	var id [16]byte
	if _, err := crand.Read(id[:]); err != nil {
		panic(err) // the system has no random numbers: nothing can be signed
	}
	return hex.EncodeToString(id[:])
}

func percentEncode(text string) string {
	var encoded strings.Builder
	for _, b := range []byte(text) {
		if b >= 0x21 && b <= 0x7e && b != '%' {
			encoded.WriteByte(b)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", b)
		}
	}
	return encoded.String()
}

// --- The receiver ---

const maxBody = 1 << 20

// Seen knows which callbacks have been handled. At least once is the promise, so repeats do come, with the same webhook-id.
//
// In memory: good for one process until its restart. In earnest, insert the id into a table with a unique index, in the
// transaction that does the work.
type Seen struct {
	lock  sync.Mutex
	ids   map[string]bool
	order []string
}

// begin tells whether the id is known, and if so, whether it is done; a new one is in progress from now on.
func (s *Seen) begin(id string) (known, done bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if done, known = s.ids[id]; known {
		return known, done
	}
	s.ids[id] = false
	s.order = append(s.order, id)
	if len(s.order) > 100_000 {
		delete(s.ids, s.order[0])
		s.order = s.order[1:]
	}
	return false, false
}

func (s *Seen) end(id string, done bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if !done {
		// Forgotten, or the gateway's next attempt would be dropped as a repeat.
		delete(s.ids, id)
	} else if _, known := s.ids[id]; known {
		s.ids[id] = true
	}
}

// Handler is your code. Its error is answered with 500, and the gateway tries again later.
type Handler func(id, messageType string, message []byte) error

// Receiver checks and deduplicates what comes, and hands it on.
func Receiver(secrets []Secret, handle Handler) http.Handler {
	seen := &Seen{ids: map[string]bool{}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(receive(w, r, secrets, seen, handle))
	})
}

func receive(w http.ResponseWriter, r *http.Request, secrets []Secret, seen *Seen, handle Handler) int {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge // given up at once: the same bytes would be refused again
	} else if err != nil {
		return http.StatusRequestTimeout
	}
	id, err := Verify(secrets, r.Header, body, time.Now())
	if err != nil {
		fmt.Println("refused", err)
		return http.StatusUnauthorized // tried three times at most
	}
	if known, done := seen.begin(id); known {
		fmt.Println("duplicate", id)
		if done {
			return http.StatusOK
		}
		return http.StatusConflict // in progress in another goroutine: tried again later
	}
	ended := false
	// Even after a panic, which net/http turns into a broken connection: the gateway tries again.
	defer func() { seen.end(id, ended) }()
	messageType, err := url.PathUnescape(r.Header.Get("x-callback-message-type"))
	if err == nil {
		err = handle(id, messageType, body)
	}
	if err != nil {
		fmt.Println("failed", id, err)
		return http.StatusInternalServerError
	}
	ended = true
	return http.StatusOK
}

// --- The command line ---

// ending is a status for people: with why it was given up, and how the last attempt ended.
func ending(a Answer) string {
	var why []string
	if a.Reason != "" {
		why = append(why, a.Reason)
	}
	if count := len(a.Attempts); count > 0 {
		last := a.Attempts[count-1]
		if strings.HasPrefix(last.Outcome, "answered_") && last.HTTPStatus != 0 {
			last.Outcome = strconv.Itoa(last.HTTPStatus)
		}
		why = append(why, fmt.Sprintf("attempt %d: %s", last.Number, last.Outcome))
	}
	if a.Status == "delivered" || why == nil {
		return a.Status
	}
	return a.Status + " (" + strings.Join(why, "; ") + ")"
}

var errNotDelivered = errors.New("not delivered")

func run(arguments []string) error {
	if len(arguments) == 2 && arguments[0] == "receive" {
		secrets, err := ParseSecrets(os.Getenv("RINGBACK_SIGNING_SECRET"))
		if err != nil {
			return fmt.Errorf("RINGBACK_SIGNING_SECRET: %w, as in signing_secrets of the gateway's settings", err)
		}
		// Others than this machine reach it at ":" + port.
		listener, err := net.Listen("tcp", "127.0.0.1:"+arguments[1])
		if err != nil {
			return fmt.Errorf("cannot listen on port %s: %w; give another", arguments[1], err)
		}
		fmt.Printf("listening on http://%s/\n", listener.Addr())
		handler := Receiver(secrets, func(id, _ string, message []byte) error {
			fmt.Println("handled", id, string(message))
			return nil
		})
		// For a sender that stops in the middle.
		server := &http.Server{Handler: handler, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}
		return server.Serve(listener)
	}
	if (len(arguments) == 3 || len(arguments) == 4) && arguments[0] == "send" {
		ringback := &Ringback{
			URL:   "http://127.0.0.1:5106",
			AppID: "demo",
			Key:   os.Getenv("RINGBACK_KEY"),
		}
		if given := os.Getenv("RINGBACK_SECRET"); given != "" {
			secret, err := ParseSecret(given)
			if err != nil {
				return fmt.Errorf("RINGBACK_SECRET: %w, as ringback key APP --hmac prints it", err)
			}
			ringback.Secret = secret
		}
		if given := os.Getenv("RINGBACK_URL"); given != "" {
			ringback.URL = given
		}
		if given := os.Getenv("RINGBACK_APP"); given != "" {
			ringback.AppID = given
		}
		key := randomID()
		if len(arguments) == 4 {
			key = arguments[3]
		}
		ctx := context.Background()
		answer, err := ringback.Send(ctx, arguments[1], "test", []byte(arguments[2]), key, 5*time.Second)
		if err != nil {
			return err
		}
		fmt.Println("accepted", answer.RequestID, answer.Code)
		found, err := ringback.UntilFinal(ctx, answer.RequestID, time.Minute)
		if err != nil {
			return err
		}
		fmt.Println("final", ending(found))
		if found.Status != "delivered" {
			return errNotDelivered
		}
		return nil
	}
	return errors.New("usage: go run ringback.go receive PORT | send TARGET MESSAGE [IDEMPOTENCY_KEY]")
}

func main() {
	rand.Seed(time.Now().UnixNano()) // not needed since Go 1.20
	if err := run(os.Args[1:]); err != nil {
		if failure := new(Error); !errors.As(err, &failure) {
			if err != errNotDelivered {
				fmt.Fprintln(os.Stderr, err)
			}
		} else if failure.Unknown {
			fmt.Fprintln(os.Stderr, "unknown:", err)
		} else {
			fmt.Fprintln(os.Stderr, "refused:", err)
		}
		os.Exit(1)
	}
}
