"""The words on the generated cards: short, plain English of the kind that stands on real ones."""

from __future__ import annotations

from random import Random


def _listed(text: str) -> tuple[str, ...]:
    """What stands between bars or line ends."""
    return tuple(phrase.strip() for phrase in text.replace("\n", "|").split("|") if phrase.strip())


HEADINGS = _listed("""
Flight status | Order confirmation | Leave request | Expense approval | Shipment tracking | Weekly report
Tell us about yourself | Your reservation | Team lunch on Friday | Weather for the weekend | Support ticket
New comment | Dinner for two | Book a room | Project update | Delivery options | Payment received
Trip to the coast | How did we do? | Please choose an answer | Welcome back | Library loan
Interview with candidate | Bicycle repair | Course feedback | Garden party | Open positions | Meeting notes
Monthly invoice | Parking permit | Reading list | Recipe of the day | Plan your visit | Museum tickets
Service request | Total tickets: 52 | Top performing agents | Due this week | Train to the north
Account settings | Notifications | Choose a plan | Health check | Visitor badge | Daily summary
Release checklist | Key information | Change of address | Food preferences | Sign up for the newsletter
Volunteer hours | Lost and found | Seat selection | Overview
""")

SENTENCES = _listed("""
Your parcel has left the depot and will arrive before noon.
We just need a few more details to get you booked.
Please answer before the end of the week so that we can plan.
The schema will be the starting point of our reference documentation.
Begin by stating how much time you are planning on taking off.
Do not worry, we will never share or sell your information.
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

NAMES = _listed("""
Maria Lindqvist | Tom Baker | Aisha Rahman | Peter Novak | Grace Okafor | Daniel Weber | Lucy Chen | Ivan Petrov
Nora Hansen | Samuel Ortiz | Emma Clarke | Hugo Martin | Leila Haddad | Jack Murphy | Yuki Tanaka | Olivia Rossi
Ben Carter | Zoe Adams | Finn Olsen | Green Valley Farm | Harbour Cafe | North Line Railways | Blue Door Bakery
City Library | Oak Street Dental
""")

FACTS = _listed("""
Status:In progress | Board:Design | List:Backlog | Assigned to:Tom Baker | Due date:Not set | Seat:14A
Gate:B22 | Open:62.24 | High:62.98 | Low:62.20 | Priority:High | Location:Room 12, 4th floor
Submitted by:Lucy Chen | Category:Repairs | Duration:45 minutes | Phone:020 7946 0018 | Email:lucy@example.com
Order:10-4471 | Weight:1.2 kg | Platform:7 | Arrives:8:10 AM | Departs:1:55 PM | Total:$56.14 | Nights:3
Guests:2 adults | Author:Hugo Martin | Licence:MIT | Version:2.4.1 | Cabin:Economy | Distance:12 km
Reason:Family | Amount:300.00
""")
"""A name and its value."""

CHOICES = _listed("""
Yes | No | Maybe | Red | Green | Blue | Small | Medium | Large | Option 1 | Option 2 | Window seat | Aisle seat
By email | By post | By telephone | Vegetarian | Chicken | Fish | No preference | Every day | Once a week
Never | I accept the terms | Remember me | Send me a copy | Practical content | Simple instructions | New ideas
Tips and tricks | Design drawing | Equipment | Permits | Standard delivery | Express delivery | Pick up in store
Gift wrapping | Add insurance | Monday | Tuesday | Wednesday | I have read the rules and agree to them
Share with my team | Cash | Card | 2024 | 2025
""")

BUTTONS = _listed("""
Submit | Cancel | OK | Send | Approve | Reject | More info | Check in | View in calendar | Set due date
Comment | Snooze | Buy now | Details | Learn more | Confirm | Back | Next | Reply | Download | Open | Save
Accept | Decline | Book table | Track parcel | Sign in | Edit | Share | Add note
""")

FIELDS = _listed("""
Your name:Last, first | Your email:name@example.com | Phone number:xxx xxx xxxx | Comments:Type here
Date:mm/dd/yyyy | Quantity:1 | Street:Enter your address | City:Your city | Question:Enter your question
Reference:Paste URL here | Time:16:59 | Company:Company name | Meal:Default | Size:Medium
Country:Choose a country | Search:Search this list | Password:At least 8 characters | Message:Write a review
""")
"""The label of an input and what stands in it."""

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def date(rng: Random) -> str:
    """A date or a time, in one of the ways people write them."""
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
    """A number that stands for itself: a price, a temperature, a score, a code."""
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


def paragraph(rng: Random, sentences: int) -> str:
    """So many different sentences in a row."""
    return " ".join(rng.sample(SENTENCES, sentences))
