"""The words on the generated cards: short, plain English as on real cards."""

from random import Random


def _split(text: str) -> tuple[str, ...]:
    """Splits text at bars and line ends."""
    return tuple(phrase.strip() for phrase in text.replace("\n", "|").split("|") if phrase.strip())


HEADINGS = _split("""
Flight status | Order confirmation | Leave request | Expense approval | Shipment tracking | Weekly report
Tell us about yourself | Your reservation | Team lunch on Friday | Weather for the weekend | Support ticket
New comment | Dinner for two | Book a room | Project update | Delivery options | Payment received
Trip to the coast | How did we do? | Please choose an answer | Welcome back | Library loan
Interview with candidate | Bicycle repair | Course feedback | Garden party | Open positions | Meeting notes
Monthly invoice | Parking permit | Reading list | Recipe of the day | Plan your visit | Museum tickets
Service request | Open tickets: 31 | Top performing agents | Due this week | Train to the north
Account settings | Notifications | Choose a plan | Health check | Visitor badge | Daily summary
Release checklist | Key information | Change of address | Food preferences | Sign up for the newsletter
Volunteer hours | Lost and found | Seat selection | Overview
""")

SENTENCES = _split("""
Your parcel has left the depot and will arrive before noon.
A few lines are still missing before we can keep a place for you.
Please answer before the end of the week so that we can plan.
The drawing is the basis for everything that we build next spring.
Write down first on which days you would like to be away.
What you tell us here stays with us and is deleted after a year.
The platform changes at short notice; watch the boards.
Bring warm clothes, the evening will be cold and windy.
The lift is out of order until Thursday morning.
Your table is kept for fifteen minutes.
Everybody is welcome, and children pay half.
We could not reach you by telephone.
The room has a projector, a whiteboard and coffee.
Thank you for your patience while we look into this.
Simmer the onions gently until they are soft and golden.
Two people from your team have already replied.
The new version fixes the search and makes pages load faster.
Please return the books on time or renew them online.
Your receipt has been sent to the address on file.
Light rain in the morning, brighter later in the day.
A short walk from the station, next to the old mill.
Select all that apply and press the button below.
The next review is planned for the first week of March.
Tickets can be changed free of charge until the day before.
Changes take effect on the next billing date.
The workshop starts at nine and ends with lunch.
""")

NAMES = _split("""
Maria Lindqvist | Tom Baker | Aisha Rahman | Peter Novak | Grace Okafor | Daniel Weber | Lucy Chen | Ivan Petrov
Nora Hansen | Samuel Ortiz | Emma Clarke | Hugo Martin | Leila Haddad | Jack Murphy | Yuki Tanaka | Olivia Rossi
Ben Carter | Zoe Adams | Finn Olsen | Green Valley Farm | Harbour Cafe | North Line Railways | Blue Door Bakery
City Library | Oak Street Dental
""")

FACTS = _split("""
Status:In progress | Board:Design | List:Backlog | Assigned to:Tom Baker | Due date:Not set | Seat:14A
Gate:B22 | Open:48.10 | High:49.75 | Low:47.90 | Priority:High | Location:Room 12, 4th floor
Submitted by:Lucy Chen | Category:Repairs | Duration:45 minutes | Phone:020 7946 0018 | Email:lucy@example.com
Order:10-4471 | Weight:1.2 kg | Platform:7 | Arrives:8:10 AM | Departs:1:55 PM | Total:$73.20 | Nights:3
Guests:2 adults | Author:Hugo Martin | Licence:MIT | Version:2.4.1 | Cabin:Economy | Distance:12 km
Reason:Family | Amount:300.00 | Address:12 Harbour Road, Old Town | Summary:How to set up your first board
Deliver to:Grace Okafor, second floor | Description:Two chairs and a round table | Awaiting approval:Finn Olsen
""")
"""Names and their values."""

CHOICES = _split("""
Yes | No | Maybe | Red | Green | Blue | Small | Medium | Large | Option 1 | Option 2 | Window seat | Aisle seat
By email | By post | By telephone | Vegetarian | Chicken | Fish | No preference | Every day | Once a week
Never | I accept the terms | Remember me | Send me a copy | Practical content | Simple instructions | New ideas
Tips and tricks | Design drawing | Equipment | Permits | Standard delivery | Express delivery | Pick up in store
Gift wrapping | Add insurance | Monday | Tuesday | Wednesday | I have read the rules and agree to them
Share with my team | Cash | Card | 2024 | 2025
""")

QUESTIONS = _split("""
What would you like to drink? | How should we reach you? | Which days suit you? | Select a colour | Choose a size
Which of these apply? | Do you agree? | What is the best part? | Category | Type of request | Show as | Sort by
How often do you travel? | Pick at least one | Topics | Reason for leaving | Which seat do you prefer?
""")

CONSENTS = _split("""
I accept the terms and conditions | Send me news about this product | Keep me signed in on this computer
I have read the rules of the house and agree to follow them | Buses are better than cars
Create missing entries if they do not exist yet | My billing address is the same as my delivery address
Yes, I would like to receive a reminder by email one day before my appointment
Allow the team to see my calendar | Nobody else may change this document while I am editing it
""")
"""Long answers. Most of them need no question."""

LISTS = _split("Day | Month | Year | Size | Hour | Row | Seat | Group | Floor | Grade | Age | Level")
"""Headings of lists of short answers."""

APPS = _split("Ledger | Staff room | Helpdesk | Storefront | Logbook | Field notes | Dispatch | Clinic | Workshop")
"""Names of programs that send cards."""

COLUMNS = _split(
    "Key | Summary | Amount | Close date | Region | Agent | Score | Total | Priority | Team | Open | Owner"
)
"""Headings of a table's columns."""

BUTTONS = _split("""
Submit | Cancel | OK | Send | Approve | Reject | More info | Check in | View in calendar | Set due date
Comment | Snooze | Buy now | Details | Learn more | Confirm | Back | Next | Reply | Download | Open | Save
Accept | Decline | Book table | Track parcel | Sign in | Edit | Share | Add note
""")

FIELDS = _split("""
Your name:Last, first | Your email:name@example.com | Phone number:xxx xxx xxxx | Comments:Type here
Date:mm/dd/yyyy | Quantity:1 | Street:Enter your address | City:Your city | Question:Enter your question
Reference:Paste URL here | Time:16:59 | Company:Company name | Meal:Default | Size:Medium
Country:Choose a country | Search:Search this list | Password:At least 8 characters | Message:Write a review
""")
"""Labels of inputs and their contents."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = _split("""
January | February | March | April | May | June | July | August | September | October | November | December
""")


def date(rng: Random) -> str:
    """A date or a time in one of several formats."""
    day, month, clock = rng.randint(1, 28), rng.choice(MONTHS), f"{rng.randint(1, 12)}:{rng.randrange(60):02d}"
    return rng.choice(
        (
            f"{month} {day}, 20{rng.randint(18, 29)}",
            f"{day} {month[:3]} 20{rng.randint(18, 29)}",
            f"{clock} {rng.choice(('AM', 'PM'))}",
            f"{month[:3]} {day}, {clock} PM",
            f"updated {day} minutes ago",
            f"Created {rng.choice(('Mon', 'Tue', 'Thu', 'Fri'))}, {day} {month[:3]}",
        )
    )


def figure(rng: Random) -> str:
    """A short value: a price, a temperature, a score, a code."""
    n = rng.randint(1, 999)
    return rng.choice(
        (
            str(n),
            f"${n}.{n % 100:02d}",
            f"{n % 45} °C",
            f"{n % 9} - {n % 7}",
            f"{n / 10:.1f} %",
            rng.choice(("LHR", "CDG", "AMS", "OSL")),
        )
    )


def beginning(rng: Random) -> str:
    """The first two to seven words of a sentence."""
    return " ".join(rng.choice(SENTENCES).split()[: rng.randint(2, 7)]).rstrip(",.;")


def caption(rng: Random) -> str:
    """A caption of a figure or a picture. In a narrow column it takes two lines or more."""
    kinds = (rng.choice(FACTS).split(":")[0], rng.choice(NAMES), date(rng), f"{date(rng)} {place(rng)}", beginning(rng))
    return rng.choice(kinds)


def place(rng: Random) -> str:
    """A town."""
    return rng.choice(("Oslo", "Amsterdam", "San Francisco", "Lyon", "New Delhi", "Cork", "Porto Alegre", "Quebec"))


def options(rng: Random) -> list[str]:
    """Two to eight answers to one question, most often three or four."""
    count = rng.choice((2, 3, 3, 3, 4, 4, 5, 6, 8))
    kind = rng.random()
    if kind < 0.6:
        return rng.sample(CHOICES, count)
    word, first = rng.choice(("Option", "Choice", "answer", "Key", "item", "Plan", "Room")), rng.choice((1, 1, 1, 7))
    if kind < 0.85:
        space = rng.choice((" ", " ", ""))
        return [f"{word}{space}{number}" for number in range(first, first + count)]
    return short_list(rng, count)


def short_list(rng: Random, most: int) -> list[str]:
    """At most `most` numbers, months, years or other short words in order."""
    first = rng.choice((1, 1, 10, 2015, 2021))
    kinds = (
        [str(number) for number in range(first, first + most)],
        [str(number) for number in range(first, first + most)],
        [month[:3] for month in MONTHS],
        list(MONTHS),
        list("ABCDEFGHIJKL"),
        rng.sample([choice for choice in CHOICES if len(choice) < 9], 12),
    )
    return rng.choice(kinds)[:most]


def cell(rng: Random) -> str:
    """The content of a table's cell: a number, a word, a code or a day."""
    n = rng.randint(1, 400)
    return rng.choice(
        (
            str(n),
            f"{n / 10:.1f}",
            f"${n / 10:.1f}K",
            f"MB-{n}",
            rng.choice(MONTHS)[:3] + f" {n % 28 + 1}",
            rng.choice(CHOICES),
        )
    )


def entry(rng: Random) -> str:
    """The title of a row in a list."""
    return rng.choice((rng.choice(NAMES), rng.choice(CHOICES), rng.choice(HEADINGS)))
