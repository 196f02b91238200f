"""Tries hard cases in every language: calls for a person, false alarms, denials, and what cannot be read."""

import time

import pytest

from shared.triage.classifier import load_model
from shared.triage.languages import detect
from shared.triage.verdict import Message, Verdict, classify, triage


def said(*texts: str) -> Verdict:
    return triage([Message("customer", text) for text in texts])


PERSON = """
agent
AGENT!!!
agent please
human
human, please
representative
operator
operator now
somebody real
someone real please
your boss
I want to speak to your boss
can I get an agent
get me a human
I need a representative
is there a real person there?
I'd rather deal with somebody real
let me talk to an actual human being
Can I speak with a person
I need to talk to somebody
manager now
please call me back
I don't want to talk to a bot
Agente
quiero hablar con una persona real
necesito un agente, por favor
pásame con un humano
quiero hablar con su jefe
¿Me puede atender una persona de verdad?
No quiero hablar con un robot
Je veux parler à un humain
un conseiller svp
Passez-moi un conseiller
je voudrais parler à quelqu'un
où est votre responsable ?
Je ne veux pas parler à un robot
Mensch bitte
Mitarbeiter
Ich möchte mit einem Menschen sprechen
kann ich bitte mit jemandem reden?
Verbinden Sie mich mit einem Berater
Wo ist Ihr Chef?
"""
SECURITY = """
I didn't get hacked but my card was used by someone
I wasn't hacked, but someone used my card
My card was cloned
my sim was swapped
someone is pretending to be me
There is a withdrawal that wasn't me
My phone got stolen last night
I can't believe my account was hacked
Mi cuenta fue hackeada
me robaron la tarjeta
no reconozco este cargo
Alguien ha usado mi tarjeta sin permiso
creo que me han estafado
Mon compte a été piraté
on m'a volé ma carte bancaire
Je ne reconnais pas ce prélèvement
Quelqu'un s'est connecté à mon compte
J'ai été victime d'une arnaque
Mein Konto wurde gehackt, bitte sperren Sie es
Jemand hat mit meiner Karte bezahlt, ich wurde betrogen
meine karte wurde geklaut
Da ist eine unbekannte Abbuchung auf meinem Konto
Diese Zahlung habe ich nicht autorisiert
Verdaechtige Aktivitaeten auf meinem Konto
"""
OTHER_TROUBLE = [
    ("2FA code does not arrive", "account_access"),
    ("I am not getting my verification code", "account_access"),
    ("I can't get into my account", "account_access"),
    ("the website is down", "app_error"),
    ("You charged me two times", "transaction_error"),
    ("where is my refund", "transaction_error"),
    ("No puedo entrar en mi cuenta", "account_access"),
    ("he olvidado mi contraseña", "account_access"),
    ("olvide mi contrasena", "account_access"),
    ("La aplicación no funciona", "app_error"),
    ("Mi transferencia no ha llegado", "banking_issue"),
    ("Me cobraron dos veces", "transaction_error"),
    ("Je n'arrive pas à me connecter", "account_access"),
    ("j'ai oublié mon mot de passe", "account_access"),
    ("L'application ne marche plus", "app_error"),
    ("Mon virement n'est pas arrivé", "banking_issue"),
    ("J'ai été débité deux fois", "transaction_error"),
    ("Ich kann mich nicht anmelden, bitte helfen Sie mir", "account_access"),
    ("Ich habe mein Passwort vergessen", "account_access"),
    ("Die App stürzt ständig ab", "app_error"),
    ("Die Überweisung ist nicht angekommen", "banking_issue"),
    ("die ueberweisung ist nicht angekommen", "banking_issue"),
    ("Mir wurde zweimal abgebucht", "transaction_error"),
]
URGENT = """
a.s.a.p.
I need this A.S.A.P
this is critically important
Es urgente, por favor
lo necesito cuanto antes
C'est urgent !
répondez le plus vite possible
Es ist dringend
Bitte sofort antworten
"""
FALSE_ALARMS = """
my password works
balance is right
my balance is correct now
my deposit arrived, thanks
the transfer came through, thank you
thanks for fixing the bug
thank you for solving the problem with my login
no bugs so far
I have no errors
The app works great
it's not urgent
nothing is broken
I was not hacked
I don't need a human
Are you human?
How do I make a deposit?
mi contraseña funciona
El saldo es correcto, gracias
gracias por arreglar el error
mi cuenta no fue hackeada
no es urgente
buenos días, ¿qué tal?
¿Cómo puedo cambiar mi dirección?
Mon mot de passe fonctionne
merci d'avoir corrigé le bug
mon compte n'a pas été piraté
ce n'est pas urgent
Bonjour, comment allez-vous ?
Mein Passwort funktioniert
der Kontostand stimmt, danke
danke für die Hilfe
mein Konto wurde nicht gehackt
das ist nicht dringend
Guten Tag, wie geht es Ihnen?
Wie kann ich meine Adresse ändern?
"""
UNREADABLE = """
Меня взломали
我的账户被盗了,请找人工客服
おはようございます
لقد تم اختراق حسابي
חשבוני נפרץ
내 계정이 해킹당했어요
Ο λογαριασμός μου παραβιάστηκε
Hesabım hacklendi, lütfen yardım edin
Minha conta foi roubada, preciso falar com um atendente
Il mio conto è stato violato, vorrei parlare con una persona
Mijn rekening is geblokkeerd, ik wil iemand spreken
Moje konto zostało zablokowane, proszę o pomoc
Mitt konto har blivit kapat, hjälp mig
Akun saya diretas, tolong bantu saya
Contul meu a fost furat, vreau o persoană
"""  # noqa: RUF001


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("text", lines(PERSON))
def test_a_person_is_called_for(text: str) -> None:
    verdict = said(text)
    assert verdict.escalate
    assert (verdict.category, verdict.priority) == (None, "medium")


@pytest.mark.parametrize("text", lines(SECURITY))
def test_security_is_urgent_in_every_language(text: str) -> None:
    verdict = said(text)
    assert (verdict.escalate, verdict.category, verdict.priority) == (True, "security_concern", "urgent")


@pytest.mark.parametrize(("text", "category"), OTHER_TROUBLE)
def test_other_trouble_has_its_category(text: str, category: str) -> None:
    verdict = said(text)
    assert (verdict.escalate, verdict.category) == (True, category)


@pytest.mark.parametrize("text", lines(URGENT))
def test_urgency_is_high_without_a_category(text: str) -> None:
    verdict = said(text)
    assert (verdict.escalate, verdict.category, verdict.priority) == (True, None, "high")


@pytest.mark.parametrize("text", lines(FALSE_ALARMS))
def test_no_trouble_calls_nobody(text: str) -> None:
    verdict = said(text)
    assert not verdict.escalate
    assert verdict.category in (None, "feature_question")


@pytest.mark.parametrize("text", lines(UNREADABLE))
def test_an_unreadable_message_calls_a_person_and_claims_nothing(text: str) -> None:
    verdict = said(text)
    assert (verdict.escalate, verdict.language) == (True, "unknown")
    assert (verdict.category, verdict.priority, verdict.candidates) == (None, "medium", ())


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("My transfer failed", "en"),
        ("The quokka bit me", "en"),
        ("Mi cuenta fue hackeada", "es"),
        ("Je veux parler à un humain", "fr"),
        ("Mein Konto wurde gehackt", "de"),
        ("12345", None),
        ("🙂🙂", None),
        ("", None),
    ],
)
def test_a_language_is_detected(text: str, language: str | None) -> None:
    assert detect(text) == language


def test_a_doubtful_message_is_read_in_the_language_before_it() -> None:
    assert said("Ich habe eine Frage zu meinem Konto", "ok").language == "de"
    assert said("Меня взломали", "ok").escalate
    assert said("Меня взломали", "My transfer failed").language == "en"


def test_a_later_message_in_another_language_is_read_in_its_own() -> None:
    verdict = said("How do I top up?", "Mein Konto wurde gehackt")
    assert (verdict.language, verdict.category) == ("de", "security_concern")


def test_what_is_solved_calls_nobody_in_any_language() -> None:
    for trouble, solved in (
        ("My transfer failed", "It works now"),
        ("La aplicación no funciona", "Ya funciona, gracias"),
        ("L'application ne marche pas", "C'est résolu, merci"),
        ("Die App funktioniert nicht", "Es geht wieder, danke"),
    ):
        assert said(trouble).escalate
        assert not said(trouble, solved).escalate


def test_candidates_stand_in_order_beside_no_category() -> None:
    verdict = said("I would like to know more about cards")
    confidences = [candidate.confidence for candidate in verdict.candidates]
    assert confidences == sorted(confidences, reverse=True)
    assert abs(sum(confidences) - 1) < 0.01


def test_a_message_takes_a_millisecond() -> None:
    text, model = "I was charged twice at a restaurant and the second payment is still pending", load_model()
    classify(text, model)

    def cost() -> float:
        before = time.process_time()
        for _ in range(20):
            classify(text, model)
        return (time.process_time() - before) / 20

    assert min(cost() for _ in range(5)) <= 0.001
