"""Web pages that ask to come in, answered on a terminal: a list by arrow keys, as soon as one asks."""

from hubfarm.cli.show import say
from hubfarm.client.chooser import pick
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
    for state in web.watch():
        for question in state["waiting"]:
            try:
                _answer(web, question)
            except HubfarmError as error:
                say(str(error), err=True)


def _answer(web: Web, question: State) -> None:
    _introduce(question)
    offers = [("no", "", "")]
    lasting = LASTING if question["rememberable"] else LASTING[:1]
    for hub in question["hubs"]:
        label = str(hub["label"])
        offers += [(f"let it into {label}, {words}", label, lasts) for words, lasts in lasting]
    _, label, lasts = offers[pick("May it come in?", [visible(offer[0]) for offer in offers])]
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
