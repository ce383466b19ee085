// The scenario of ../README.md with grpc-go.
//
//	client ADDRESS TOKENS_JSON
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "rescind.dev/gen/rescind/v1"
)

const (
	lang         = "go"
	rpcTimeout   = 10 * time.Second
	watchTimeout = 60 * time.Second
)

var (
	failures   int
	upperSnake = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
)

// expect counts and prints what does not hold, and goes on: one run shows everything.
func expect(holds bool, format string, args ...any) {
	if holds {
		return
	}
	failures++
	what := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	fmt.Printf("FAILED %s: %s\n", lang, what)
}

// A failedCall ends the scenario: what comes after a failed call would only confuse.
type failedCall struct {
	method string
	err    error
}

func must[T any](method string) func(T, error) T {
	return func(answer T, err error) T {
		if err != nil {
			panic(failedCall{method, err})
		}
		return answer
	}
}

type claims struct {
	Iss string   `json:"iss"`
	Jti string   `json:"jti"`
	Sub string   `json:"sub"`
	Sid string   `json:"sid"`
	Kid string   `json:"kid"`
	Iat *float64 `json:"iat"`
	Exp *float64 `json:"exp"`
}

type token struct {
	Lang   string `json:"lang"`
	Name   string `json:"name"`
	Alg    string `json:"alg"`
	Token  string `json:"token"`
	Claims claims `json:"claims"`
}

func (t token) String() string { return t.Alg + " " + t.Name }

func (t token) digest() []byte {
	sum := sha256.Sum256([]byte(t.Token[:strings.LastIndex(t.Token, ".")]))
	return sum[:]
}

func tokenTarget(t *pb.TokenTarget) *pb.Target {
	return &pb.Target{Kind: &pb.Target_Token{Token: t}}
}

func sessionTarget(iss, sid string) *pb.Target {
	return &pb.Target{Kind: &pb.Target_Session{Session: &pb.SessionTarget{Iss: iss, Sid: sid}}}
}

func userTarget(t token) *pb.Target {
	user := &pb.UserTarget{Iss: t.Claims.Iss, Sub: t.Claims.Sub}
	return &pb.Target{Kind: &pb.Target_User{User: user}}
}

func issuedBefore(seconds float64) *pb.Rules {
	whole := math.Floor(seconds)
	nanos := int64(math.Round((seconds - whole) * 1e9))
	return &pb.Rules{IssuedBefore: timestamppb.New(time.Unix(int64(whole), nanos))}
}

// revocationOf tells how the token of each name is revoked; nil: not by Revoke, but by RevokeUser.
func revocationOf(t token) *pb.RevokeRequest {
	request := func(target *pb.Target, rules *pb.Rules, reason pb.Reason) *pb.RevokeRequest {
		return &pb.RevokeRequest{Targets: []*pb.Target{target}, Rules: rules, Reason: reason}
	}
	c := t.Claims
	switch t.Name {
	case "jti":
		target := tokenTarget(&pb.TokenTarget{Iss: c.Iss, Jti: c.Jti, Exp: c.Exp})
		return request(target, nil, pb.Reason_REASON_LOGOUT)
	case "no-jti":
		target := tokenTarget(&pb.TokenTarget{Jwt: t.Token})
		return request(target, nil, pb.Reason_REASON_CREDENTIAL_COMPROMISED)
	case "digest":
		target := tokenTarget(&pb.TokenTarget{Iss: c.Iss, SigningInputSha256: t.digest()})
		return request(target, nil, pb.Reason_REASON_TOKEN_ROTATED)
	case "session":
		return request(sessionTarget(c.Iss, c.Sid), nil, pb.Reason_REASON_ADMIN)
	case "fractional-iat":
		rules := issuedBefore(math.Floor(*c.Iat) + 0.5)
		return request(userTarget(t), rules, pb.Reason_REASON_PASSWORD_CHANGED)
	case "numeric-sub":
		return request(userTarget(t), &pb.Rules{All: true}, pb.Reason_REASON_ACCOUNT_DISABLED)
	case "phone", "laptop":
		return nil
	}
	panic("no such token name: " + t.Name)
}

func kindOf(target *pb.Target) string {
	switch target.GetKind().(type) {
	case *pb.Target_Token:
		return "token"
	case *pb.Target_User:
		return "user"
	case *pb.Target_Session:
		return "session"
	}
	return fmt.Sprintf("%T", target.GetKind())
}

// nameOf is what identifies a target: `exp` does not.
func nameOf(target *pb.Target) string {
	named := proto.CloneOf(target)
	if named.GetToken() != nil {
		named.GetToken().Exp = nil
	}
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(named)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%q", bytes)
}

type scenario struct {
	client  pb.RevocationServiceClient
	tokens  []token
	revoked map[string]bool
}

func (s *scenario) check(t token) *pb.CheckResponse {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	request := &pb.CheckRequest{Credential: &pb.CheckRequest_Token{Token: t.Token}}
	return must[*pb.CheckResponse]("Check")(s.client.Check(ctx, request))
}

func (s *scenario) expectActive(t token, when string) {
	got := s.check(t)
	holds := got.GetActive() && got.GetVerdict() == pb.Verdict_VERDICT_ACTIVE
	expect(holds, "%s is ACTIVE %s; got %v", t, when, got)
}

func (s *scenario) expectRevoked(t token, reason pb.Reason, kind string) {
	got := s.check(t)
	revoked := !got.GetActive() && got.GetVerdict() == pb.Verdict_VERDICT_REVOKED
	expect(revoked, "%s is REVOKED after its revocation; got %v", t, got)
	match := got.GetMatch()
	expect(match.GetReason() == reason, "%s says reason %s; got %v", t, reason, match)
	of := kindOf(match.GetTarget())
	expect(of == kind, "%s says that its %s was revoked; got %v", t, kind, match)
}

func (s *scenario) expectReceipt(receipt *pb.Receipt, of string) {
	rules := receipt.GetInForce()
	expect(len(rules) > 0, "the receipt for %s has a rule in force; got %v", of, receipt)
	byTime := func(rule *pb.InForce) bool { return rule.GetBefore() != nil }
	if slices.ContainsFunc(rules, byTime) {
		expect(receipt.GetNotBefore() != nil, "the receipt for %s says not_before", of)
	}
	s.revoked[nameOf(receipt.GetTarget())] = true
}

func (s *scenario) revoke(request *pb.RevokeRequest, of string) *pb.Receipt {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	receipts := must[*pb.RevokeResponse]("Revoke")(s.client.Revoke(ctx, request)).GetReceipts()
	expect(len(receipts) == 1, "one receipt for %s; got %d", of, len(receipts))
	if len(receipts) == 0 {
		return nil
	}
	s.expectReceipt(receipts[0], of)
	return receipts[0]
}

func (s *scenario) zeroTargetsAreRefused() {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	_, err := s.client.Revoke(ctx, &pb.RevokeRequest{Reason: pb.Reason_REASON_LOGOUT})
	got := status.Convert(err)
	refused := got.Code() == codes.InvalidArgument
	expect(refused, "zero targets are INVALID_ARGUMENT; got %s", got.Code())
	var info *errdetails.ErrorInfo
	var fields []string
	for _, detail := range got.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			info = detail
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				fields = append(fields, violation.GetField())
			}
		}
	}
	domain, reason := info.GetDomain(), info.GetReason()
	expect(domain == "rescind", "ErrorInfo's domain is rescind; got %q", domain)
	expect(upperSnake.MatchString(reason), "ErrorInfo's reason is UPPER_SNAKE; got %q", reason)
	expect(slices.Contains(fields, "targets"), "BadRequest names `targets`; got %q", fields)
}

func (s *scenario) eachTokenIsRevokedByItsTarget() {
	for _, t := range s.tokens {
		s.expectActive(t, "at first")
		request := revocationOf(t)
		if request == nil {
			continue
		}
		if t.Name == "fractional-iat" {
			early := &pb.RevokeRequest{
				Targets: []*pb.Target{userTarget(t)},
				Rules:   issuedBefore(math.Floor(*t.Claims.Iat)),
			}
			s.revoke(early, t.String()+" with an earlier cut-off")
			s.expectActive(t, "after a cut-off a quarter second before its iat")
		}
		target := s.revoke(request, t.String()).GetTarget()
		switch t.Name {
		case "no-jti", "digest":
			named := target.GetToken()
			byDigest := slices.Equal(named.GetSigningInputSha256(), t.digest()) && named.GetJwt() == ""
			expect(byDigest, "the receipt for %s names it by its digest; got %v", t, target)
		case "jti":
			expect(target.GetToken().GetJti() == t.Claims.Jti, "the receipt for %s names its jti", t)
		}
		s.expectRevoked(t, request.GetReason(), kindOf(request.GetTargets()[0]))
	}
}

func (s *scenario) aUserIsLoggedOutEverywhere() {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	const reason = pb.Reason_REASON_SUSPICIOUS_ACTIVITY
	for _, phone := range s.tokens {
		if phone.Name != "phone" {
			continue
		}
		iss, sub := phone.Claims.Iss, phone.Claims.Sub
		request := &pb.RevokeUserRequest{Iss: iss, Sub: sub, Reason: reason}
		answer := must[*pb.RevokeUserResponse]("RevokeUser")(s.client.RevokeUser(ctx, request))
		s.expectReceipt(answer.GetReceipt(), "the user of "+phone.String())
		for _, t := range s.tokens {
			if t.Claims.Sub == sub {
				s.expectRevoked(t, reason, "user")
			}
		}
	}
}

// endASession revokes something new and tells its name, as a watch will show it.
func (s *scenario) endASession() string {
	target := sessionTarget(s.tokens[0].Claims.Iss, lang+"/watch/"+rand.Text())
	request := &pb.RevokeRequest{
		Targets: []*pb.Target{target},
		Rules:   &pb.Rules{All: true},
		Reason:  pb.Reason_REASON_POLICY,
	}
	return nameOf(s.revoke(request, "an ended session").GetTarget())
}

type watchStream = grpc.ServerStreamingClient[pb.WatchRevocationsResponse]

func (s *scenario) watch(ctx context.Context, request *pb.WatchRevocationsRequest) watchStream {
	request.Watcher = lang + " client"
	return must[watchStream]("WatchRevocations")(s.client.WatchRevocations(ctx, request))
}

// readUntilCaughtUp tells the mode of a watch, the names of what it showed, and its last cursor.
func readUntilCaughtUp(watch watchStream) (mode pb.WatchMode, seen map[string]bool, cursor []byte) {
	seen = map[string]bool{}
	for first := true; ; first = false {
		message := must[*pb.WatchRevocationsResponse]("WatchRevocations")(watch.Recv())
		cursor = message.GetCursor()
		hello := message.GetHello()
		expect(first == (hello != nil), "hello comes first and once; got %v", message)
		if hello != nil {
			mode = hello.GetMode()
		}
		for _, revocation := range message.GetRecords().GetRevocations() {
			seen[nameOf(revocation.GetTarget())] = true
		}
		if message.GetCaughtUp() != nil {
			return mode, seen, cursor
		}
	}
}

// inBoth and onlyIn tell what went wrong, in an order that does not change.
func inBoth(left, right map[string]bool) []string {
	return pick(left, func(name string) bool { return right[name] })
}

func onlyIn(left, right map[string]bool) []string {
	return pick(left, func(name string) bool { return !right[name] })
}

func pick(names map[string]bool, wanted func(string) bool) []string {
	var picked []string
	for name := range names {
		if wanted(name) {
			picked = append(picked, name)
		}
	}
	slices.Sort(picked)
	return picked
}

func (s *scenario) aWatchIsResumed() {
	cursor := s.watchFromTheBeginning()
	before := map[string]bool{}
	for name := range s.revoked {
		before[name] = true
	}
	meanwhile := s.endASession()

	ctx, cancel := context.WithTimeout(context.Background(), watchTimeout)
	defer cancel()
	watch := s.watch(ctx, &pb.WatchRevocationsRequest{Cursor: cursor})
	mode, resumed, _ := readUntilCaughtUp(watch)
	expect(mode == pb.WatchMode_WATCH_MODE_RESUMED, "the second watch says RESUMED; got %s", mode)
	expect(resumed[meanwhile], "the resumed watch shows what is new; got %v", resumed)
	again := inBoth(before, resumed)
	expect(len(again) == 0, "the resumed watch repeats nothing; got again %v", again)

	live := s.endASession()
	for arrived := false; !arrived; {
		message, err := watch.Recv()
		if err != nil {
			expect(false, "the open watch shows what is revoked while it is open; got %v", err)
			return
		}
		for _, revocation := range message.GetRecords().GetRevocations() {
			arrived = arrived || nameOf(revocation.GetTarget()) == live
		}
	}
}

func (s *scenario) watchFromTheBeginning() []byte {
	ctx, cancel := context.WithTimeout(context.Background(), watchTimeout)
	defer cancel()
	watch := s.watch(ctx, &pb.WatchRevocationsRequest{Start: pb.Start_START_BEGINNING})
	mode, seen, cursor := readUntilCaughtUp(watch)
	beginning := mode == pb.WatchMode_WATCH_MODE_BEGINNING
	expect(beginning, "the first watch says BEGINNING; got %s", mode)
	expect(len(cursor) > 0, "the watch gives a cursor")
	missing := onlyIn(s.revoked, seen)
	expect(len(missing) == 0, "the watch shows everything revoked here; missing %v", missing)
	return cursor
}

func (s *scenario) restoredTokensAreActiveAgain() {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	for _, t := range s.tokens {
		if t.Name != "jti" {
			continue
		}
		target := tokenTarget(&pb.TokenTarget{Iss: t.Claims.Iss, Jti: t.Claims.Jti})
		request := &pb.RestoreRequest{Targets: []*pb.Target{target}}
		receipts := must[*pb.RestoreResponse]("Restore")(s.client.Restore(ctx, request)).GetReceipts()
		lifted := len(receipts) == 1 && len(receipts[0].GetInForce()) == 0
		expect(lifted, "nothing is in force after Restore of %s; got %v", t, receipts)
		s.expectActive(t, "after Restore")
	}
}

func (s *scenario) aBatchIsAnsweredInOrder() {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	find := func(name string) token {
		return s.tokens[slices.IndexFunc(s.tokens, func(t token) bool { return t.Name == name })]
	}
	restored := find("jti").Claims
	request := &pb.CheckBatchRequest{Checks: []*pb.CheckRequest{
		{Credential: &pb.CheckRequest_Token{Token: find("session").Token}},
		{Credential: &pb.CheckRequest_Claims{Claims: &pb.Claims{
			Iss: restored.Iss, Jti: restored.Jti, Sub: restored.Sub, Kid: restored.Kid,
			Iat: restored.Iat, Exp: restored.Exp,
		}}},
	}}
	answer := must[*pb.CheckBatchResponse]("CheckBatch")(s.client.CheckBatch(ctx, request))
	var verdicts []pb.Verdict
	for _, result := range answer.GetResults() {
		verdicts = append(verdicts, result.GetVerdict())
	}
	want := []pb.Verdict{pb.Verdict_VERDICT_REVOKED, pb.Verdict_VERDICT_ACTIVE}
	inOrder := slices.Equal(verdicts, want)
	expect(inOrder, "a batch of a revoked and a restored token is %v; got %v", want, verdicts)
}

func (s *scenario) run() {
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case failedCall:
			expect(false, "no call fails; got from %s: %v", failed.method, failed.err)
		default:
			panic(failed)
		}
	}()
	s.zeroTargetsAreRefused()
	s.eachTokenIsRevokedByItsTarget()
	s.aUserIsLoggedOutEverywhere()
	s.aWatchIsResumed()
	s.restoredTokensAreActiveAgain()
	s.aBatchIsAnsweredInOrder()
}

func readTokens(path string) ([]token, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var tokens []token
	if err := json.Unmarshal(text, &tokens); err != nil {
		return nil, err
	}
	tokens = slices.DeleteFunc(tokens, func(t token) bool { return t.Lang != lang })
	if len(tokens) == 0 {
		return nil, fmt.Errorf("%s has no token for %s", path, lang)
	}
	return tokens, nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: client ADDRESS TOKENS_JSON")
		os.Exit(2)
	}
	tokens, err := readTokens(os.Args[2])
	expect(err == nil, "the tokens are read; got %v", err)
	plaintext := grpc.WithTransportCredentials(insecure.NewCredentials())
	channel, err := grpc.NewClient(os.Args[1], plaintext)
	expect(err == nil, "the address is understood; got %v", err)
	if failures == 0 {
		client := pb.NewRevocationServiceClient(channel)
		(&scenario{client: client, tokens: tokens, revoked: map[string]bool{}}).run()
	}
	fmt.Printf("%s: %d tokens, %d failed expectations\n", lang, len(tokens), failures)
	if failures > 0 {
		os.Exit(1)
	}
}
