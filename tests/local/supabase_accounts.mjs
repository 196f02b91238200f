// Links, codes and second factors through the official JavaScript client; the result goes to standard output.
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createClient } from "@supabase/supabase-js";
import ws from "ws";

const { URL: BASE, KEY, SECRET, MAIL, EMAIL, PHONE, PASSWORD } = process.env;
const client = (key, flowType = "implicit") =>
  createClient(BASE, key, {
    auth: { persistSession: false, autoRefreshToken: false, flowType },
    realtime: { transport: ws },
  });
const refusal = (error) => ({ status: error.status, code: error.code });
const claims = (session) => JSON.parse(Buffer.from(session.access_token.split(".")[1], "base64url"));

function mailedLink(address) {
  const files = readdirSync(MAIL).filter((file) => file.endsWith(".eml") && file.includes(address));
  return /http:\/\/\S+/.exec(readFileSync(`${MAIL}/${files.sort().at(-1)}`, "utf8"))[0];
}

async function codeFor(supabase) {
  await supabase.auth.signInWithOtp({ email: EMAIL });
  const answer = await fetch(mailedLink(EMAIL), { redirect: "manual" });
  return new URL(answer.headers.get("location")).searchParams.get("code");
}

function totp(secret) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const digest = createHmac("sha1", key).update(counter).digest();
  const code = digest.readUInt32BE(digest.at(-1) & 15) & 0x7fffffff;
  return String(code % 1_000_000).padStart(6, "0");
}

const supabase = client(KEY, "pkce");
// The first code is of another client's flow, whose verifier this one does not have.
const foreign = await codeFor(client(KEY, "pkce"));
const code = await codeFor(supabase);
const wrong = await supabase.auth.exchangeCodeForSession(foreign);
const again = await codeFor(supabase);
const linked = await supabase.auth.exchangeCodeForSession(again);

const byNumber = client(KEY);
await byNumber.auth.signInWithOtp({ phone: PHONE });
const verified = await byNumber.auth.verifyOtp({ phone: PHONE, token: "123456", type: "sms" });

const before = claims(linked.data.session).aal;
const factor = await supabase.auth.mfa.enroll({ factorType: "totp", friendlyName: "phone" });
const raised = await supabase.auth.mfa.challengeAndVerify({
  factorId: factor.data.id,
  code: totp(factor.data.totp.secret),
});
const factors = await supabase.auth.mfa.listFactors();

const admin = client(SECRET).auth.admin;
const generated = await admin.generateLink({ type: "magiclink", email: EMAIL });
const deleted = await admin.deleteUser(linked.data.user.id, true);
const afterwards = await supabase.auth.getUser(raised.data.access_token);

console.log(
  JSON.stringify({
    code: Boolean(code),
    wrong_verifier: refusal(wrong.error),
    linked: { email: linked.data.user.email, method: claims(linked.data.session).amr[0].method },
    phone: verified.data.user.phone,
    levels: [before, claims(raised.data).aal],
    factors: factors.data.totp.map((found) => found.status),
    generated: generated.data.user.email,
    deleted: deleted.error,
    afterwards: afterwards.error.name,
  }),
);
