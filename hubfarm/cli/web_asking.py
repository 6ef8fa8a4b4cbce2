"""Web pages that ask to come in, answered on a terminal: a list by arrow keys, as soon as one asks."""

from hubfarm.cli.show import say
from hubfarm.client.chooser import NoQuestion, pick
from hubfarm.farm.web import State, Web
from hubfarm.samp.errors import HubfarmError
from hubfarm.visible import visible

LASTING = (("this time", "once"), ("for a day", "day"), ("always", "always"))


def answer_on_the_terminal(web: Web) -> None:
    """Ask the user about each page, on and on, until Ctrl-C or Esc.

    Raises
    ------
    KeyboardInterrupt
        The user has had enough.
    """
    say("waiting for web pages that ask to come in; Ctrl-C ends", err=True)
    trouble = ""
    for state in web.watch():
        if state["trouble"] != trouble and (trouble := state["trouble"]):
            say(trouble, err=True, fg="yellow")
        for question in state["waiting"]:
            try:
                if _stands(web, question):
                    _answer(web, question)
            except NoQuestion:
                say("it has been answered elsewhere, or the page has gone", err=True)
            except HubfarmError as error:
                say(str(error), err=True)


def _stands(web: Web, question: State) -> bool:
    """Tell whether a question waits still; also if nobody knows."""
    try:
        return web.is_waiting(question["id"])
    except HubfarmError:
        return True


def _answer(web: Web, question: State) -> None:
    _introduce(question)
    offers = [("no", "", "")]
    lasting = LASTING if question["rememberable"] else LASTING[:1]
    for hub in question["hubs"]:
        label = str(hub["label"])
        offers += [(f"let it into {label}, {words}", label, lasts) for words, lasts in lasting]
    lines = [visible(offer[0]) for offer in offers]
    _, label, lasts = offers[pick("May it come in?", lines, lambda: _stands(web, question))]
    if label:
        web.allow(question["id"], label, lasts)
        say(f"let into {label}", err=True)
    else:
        web.deny(question["id"])
        say("refused", err=True)


def _introduce(question: State) -> None:
    say("", err=True)
    say(question["name"] or "a page without a name", err=True, bold=True)
    say(f"  the browser says   {question['origin']}", err=True)
    say(f"  the page says      {question['referer'] or 'nothing'}", err=True)
    if question["warning"]:
        say(f"  look twice: {question['warning']}", err=True, fg="yellow")
