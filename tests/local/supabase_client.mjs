// One person's session through the official JavaScript client; what came of it goes to standard output.
import { createClient } from "@supabase/supabase-js";
import ws from "ws";

const { URL, KEY, EMAIL, PASSWORD } = process.env;
const supabase = createClient(URL, KEY, {
  auth: { persistSession: false, autoRefreshToken: false },
  db: { schema: "desk" },
  realtime: { transport: ws }, // Node has a WebSocket of its own from version 22 on.
});

const wrong = await supabase.auth.signInWithPassword({ email: EMAIL, password: "not this one" });
const signedIn = await supabase.auth.signInWithPassword({ email: EMAIL, password: PASSWORD });
const user = await supabase.auth.getUser();
const claims = await supabase.auth.getClaims();
const tickets = await supabase.from("support_tickets").select("customer_id");
const refreshed = await supabase.auth.refreshSession();
const ticketsAfterwards = await supabase.from("support_tickets").select("customer_id");
const signedOut = await supabase.auth.signOut();
const reused = await supabase.auth.refreshSession({ refresh_token: refreshed.data.session.refresh_token });

console.log(
  JSON.stringify({
    wrong: { code: wrong.error.code, status: wrong.error.status, message: wrong.error.message },
    user_id: signedIn.data.user.id,
    same_user: user.data.user.id === signedIn.data.user.id,
    session_claims: claims.data.claims,
    tickets: tickets.data,
    rotated: refreshed.data.session.refresh_token !== signedIn.data.session.refresh_token,
    tickets_afterwards: ticketsAfterwards.data,
    sign_out_error: signedOut.error,
    reused: reused.error.code,
  }),
);
