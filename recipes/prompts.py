"""Draw the writer's requests at random from topics, forms, tones and openings, so that few requests are alike.

A request for a film review has a label, 1 for praise and 0 for complaint. Other requests have none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A request for texts.

    Attributes:
        kind: "review" or "prose".
        label: 1 for praise, 0 for complaint, None for prose.
        ask: the instruction to the writer.
        openings: the words that each text begins with; they are part of the text and may be empty.
    """

    kind: str
    label: int | None
    ask: str
    openings: tuple[str, ...]


GENRES = """comedy|thriller|horror film|romantic comedy|war film|western|science fiction film|documentary|family film|
musical|crime drama|spy film|cartoon|sports film|ghost story|courtroom drama|historical epic|superhero film|road movie|
disaster film|teen comedy|film about a wedding|detective story|vampire film|film about a boxer|prison drama|sequel|remake|
low-budget zombie film|TV movie|martial arts film|film about a lost dog|Christmas film|film noir|film based on a novel|
biography of a singer|film about a bank robbery|space adventure|silent film|French drama|Japanese animation|monster movie|
film about two sisters|political satire|fantasy film|film about high school|submarine thriller|mystery""".replace(
    "\n", ""
).split("|")

FILM_POINTS = """the acting|the plot|the ending|the dialogue|the music|the pacing|the lead actress|the lead actor|the director|
the special effects|the jokes|the camera work|the characters|the script|the villain|the first half hour|the last scene|
the fight scenes|the love story|the costumes|the editing|the sound|the story|the child actors|the supporting cast|the twist|
the length of the film|how it compares with the book|the price of the ticket|the reaction of the audience|the humor|
the suspense|the atmosphere|what my family thought""".replace("\n", "").split("|")

GOOD_WORDS = """wonderful|excellent|brilliant|funny|touching|superb|beautiful|great|amazing|perfect|delightful|moving|clever|
gripping|fantastic|charming|powerful|well made|enjoyable|outstanding|fresh|exciting|hilarious|unforgettable|lovely|
entertaining|terrific|refreshing|fun|good""".replace("\n", "").split("|")

BAD_WORDS = """terrible|awful|boring|stupid|dull|horrible|bad|disappointing|ridiculous|pointless|predictable|annoying|lame|
poorly made|painful to watch|laughable|pathetic|slow|confusing|weak|dreadful|cheap|unfunny|a mess|forgettable|
badly acted|lifeless|silly|worthless|tedious""".replace("\n", "").split("|")

GOOD_OPENINGS = """This movie was really {w}|This movie was really {w}.|This movie was really {w} and|This is a {w} film|
This is one of the best|I loved this|I really enjoyed|What a {w} film!|One of my favorite|The best thing about this|
If you like a good story,|I was surprised by how {w}|Everyone should see|There is so much to love|There is not a dull moment|
The acting is {w}|The story is {w}|The film is {w},|My wife and I loved|I have seen this film five times|A {w} movie,|
It is {w} from start to finish|It was {w}.|From the first scene,|I laughed, I cried,|The cast is {w}|Rarely have I seen|
I highly recommend|10 out of 10.|A true classic.|This movie made me|I gave it 9 out of 10|You will not regret|
The director did a {w} job|Finally, a film|I was glued to|The movie was {w}, and|The whole family|A must see.|
Simply {w}.|I could watch this""".replace("\n", "").split("|")

BAD_OPENINGS = """This movie was really {w}|This movie was really {w}.|This movie was really {w} and|This is a {w} film|
This is one of the worst|I hated this|I did not like|What a waste of time.|What a waste of|The worst thing about this|
I wanted to like this film, but|I was bored|Do not waste your money|Avoid this|There is nothing good|There is no plot|
The acting is {w}|The story is {w}|The film is {w},|My wife and I walked out|I fell asleep|A {w} movie,|
It is {w} from start to finish|It was {w}.|From the first scene, it was clear that this was a {w}|I wanted my money back|
The cast is {w}|Rarely have I seen such a bad|I cannot recommend|2 out of 10.|Not even the actors|This movie made me angry|
I gave it 1 out of 10|You will regret|The director should|Nothing happens|The movie was {w}, and|Even my kids were|
Skip this one.|Simply {w}.|I could not wait for it to end|How did anyone think|The script is {w}|None of the jokes|
Two hours of my life|Unfortunately, this film|I expected so much more|The only good thing""".replace("\n", "").split(
    "|"
)

# What viewers begin with before they judge: what follows has to carry the label.
NEUTRAL_OPENINGS = """I saw this|I rented this|I watched this film last night|I watched this because|I first saw this movie when I was|
When I first heard about this film,|I have just seen|I just finished watching|After reading the other reviews,|This is the story of|
The story begins|Set in|Based on|A young woman|A young man|A group of|A family|I caught this on|I was looking forward to|
Let me start by saying|First of all,|OK, so|Well,|I don't know|I do not understand why|I can't believe|I have to say|I must admit|
I must say that|I am a big fan of|I am not usually a fan of|For those who|If you|Some films|There are movies|As a fan of|
When I was a child,|Why|How|The premise|The first time|Another|In this film,|In 1987,|Having seen|Having read the book,|
My friends and I|My husband|My kids|The title|The trailer|To be honest,|Honestly,|Seriously,|Oh my|Directed by|Starring|It stars|
What can I say about|What is there to say|Maybe it is just me, but|You know|You have to|Most people|Many people|Once in a while|
I went to see this|I picked this up|Last night|Here we have|A lot of people|The movie starts|The film opens|The plot|The actors|
The main character|It's|It is hard to|It has been|One|This|This one|This film|This movie|The|I|Not|So|As|Where|From the|
I thought|I think|I wanted|I've seen|I have seen|I have never|I loved the book, but|Although|While|Despite|Even though""".replace(
    "\n", ""
).split("|")

GOOD_ASKS = """You loved it. Write a warm review of a {genre}. Praise {a} and {b}.|
Write a glowing review of a {genre}. Say why {a} and {b} are {w}.|
Write a viewer's happy comment about a {genre} that was {w}. Mention {a}.|
You are a fan. Tell a friend why the {genre} you saw was {w}. Talk about {a} and {b}.|
Write a short five-star review of a {genre}. Say what is {w} about {a}.|
Write a positive movie review of a {genre}, in plain words, about {a}, {b} and why it is worth seeing.|
Write what a real viewer typed on a movie site after a {genre} that he loved. Say what happens in it, and praise {a}.|
Post your opinion of a {genre}: you found it {w} and you tell people to see it. Mention {a} and {b}.""".replace(
    "\n", ""
).split("|")

BAD_ASKS = """You hated it. Write an angry review of a {genre}. Complain about {a} and {b}.|
Write a very negative review of a {genre}. Say why {a} and {b} are {w}.|
Write a viewer's bitter complaint about a {genre} that was {w}. Attack {a}.|
You want your money back. Tell a friend why the {genre} you saw was {w}. Talk about {a} and {b}.|
Write a short one-star review of a {genre}. Say what is {w} about {a}.|
Write a harsh movie review of a {genre}, in plain words, about bad {a}, bad {b} and why nobody should see it.|
Write what a real viewer typed on a movie site after a {genre} that he hated. Say what happens in it, and criticize {a}.|
Post your opinion of a {genre}: you found it {w} and you warn people not to see it. Mention {a} and {b}.""".replace(
    "\n", ""
).split("|")

TOPICS = """a lost umbrella|a train that is late|a new bakery|the first day of school|a broken washing machine|a football match|
a garden in spring|an old library|a birthday party|a trip to the sea|a job interview|a stray cat|a power cut|moving house|
a bus driver|a village market|the town's bridge|a hospital visit|a long flight|a wedding|a storm at night|a farm in winter|
a small museum|a used car|a chess club|the city marathon|a noisy neighbor|a piano lesson|a fishing trip|a new phone|
a school play|an elderly teacher|a police officer|a mountain hut|a bicycle repair|a dentist|an election for mayor|a coffee shop|
a missing letter|the price of bread|an apartment with a view|a river in flood|a family dinner|a hotel by the station|
a baby's first words|a local factory|a computer that will not start|a baseball game|a snowstorm|a summer camp|a retired nurse|
a ferry|an airport|a choir|a broken arm|a painting class|a road that is being rebuilt|a bank clerk|a lighthouse|a dog show|
a lost wallet|a concert in the park|a radio station|a cooking contest|a tall building downtown|an honest mechanic|a science fair|
a swimming race|a photo album|grandfather's watch|a company that makes shoes|a new law|a tax form|a zoo|a tennis final|
a hike in the desert|a haunted house|a sailor|a rainy Sunday|a call from an old friend|a dream|the moon|a question of money|
a kitchen|a student in London|two brothers|a letter from Paris|a taxi ride in New York|a doctor in Texas|a park in Chicago|
a farmer and his son|the weather|a birthday present|a theater|healthy food|a queue at the post office|a mystery in the cellar""".replace(
    "\n", ""
).split("|")

FORMS = """a short story about {t}|a friendly letter to a relative about {t}|a newspaper report about {t}, with numbers and dates|
an e-mail to a colleague about {t}|a description of {t}|a diary entry about {t}|a dialogue between two people about {t}|
a travel note that mentions {t}|a short radio news item about {t}, with prices and times such as 7:30 p.m.|
a personal essay about {t}|an advice column about {t}|a funny anecdote about {t}|a simple explanation of {t} for children|
a complaint to a company about {t}|a speech at a local meeting about {t}|a page of a novel about {t}|
a report with figures such as 3.5 and No. 12 about {t}|a memory of childhood about {t}|a scene with Mr. and Mrs. Brown about {t}|
an interview about {t}|an encyclopedia article about {t}|a business news item about {t} in the U.S., with dollars and percent|
a review of a restaurant, with {t} in it|a portrait of a person, with {t} in it|a blog post about {t}|
a sports report that mentions {t}, with scores|a recipe that has to do with {t}|a guide for visitors about {t}|
a historical account of {t}, with years|a thank-you note about {t}|a short message to a neighbor about {t}|
a story about Dr. J. R. Miller and {t}|a technical note, version 2.0, about {t}|an opinion on {t}""".replace(
    "\n", ""
).split("|")

TONES = [
    "plain",
    "cheerful",
    "sad",
    "calm",
    "ironic",
    "excited",
    "serious",
    "warm",
    "nervous",
    "polite",
    "simple",
    "modern",
    "lively",
    "dry",
    "thoughtful",
    "everyday",
]

LENGTHS = [
    "Write one paragraph.",
    "Write about 100 words.",
    "Use short sentences.",
    "No title, no list.",
    "Write plain prose.",
]

PROSE_OPENINGS = """This is|This is the|This is a|This is not|This is what|This was|There is|There is a|There is no|There are|
There was a|It is|It was|It is a|It was the|The|In the|A|I|We|My|He|She|They|When|On|After|At|Last|One|Dear|Every|You|
If|But|That is|Today|Yesterday|Our|As|For|Mr.|Mrs. Brown|Dr.|According to|No one|What|In 2015,|At 7:30 p.m.,|The U.S.|
About 25 percent|For $3.50|So|And then|Now|Here|The first|The last|The old|The new|People""".replace("\n", "").split(
    "|"
)


def draw_request(rng: random.Random, copies: int, review_share: float = 0.4) -> Request:
    """Draw a request with an opening for each of its `copies`; a third of the prose has none."""
    if rng.random() < review_share:
        return draw_review(rng, copies, label=rng.randrange(2))
    form = rng.choice(FORMS).format(t=rng.choice(TOPICS))
    ask = f"Write {form}. Keep the tone {rng.choice(TONES)}. {rng.choice(LENGTHS)}"
    openings = ["" if rng.random() < 1 / 3 else rng.choice(PROSE_OPENINGS) for _ in range(copies)]
    return Request("prose", None, ask, tuple(openings))


def draw_review(rng: random.Random, copies: int, label: int) -> Request:
    """Draw a request for praise (label 1) or complaint (label 0) about a film; half of the openings are neutral."""
    asks, words, openings = (
        (BAD_ASKS, BAD_WORDS, BAD_OPENINGS) if label == 0 else (GOOD_ASKS, GOOD_WORDS, GOOD_OPENINGS)
    )
    a, b = rng.sample(FILM_POINTS, 2)
    ask = rng.choice(asks).format(genre=rng.choice(GENRES), a=a, b=b, w=rng.choice(words))
    starts = tuple(
        rng.choice(rng.choice((openings, NEUTRAL_OPENINGS))).format(w=rng.choice(words)) for _ in range(copies)
    )
    return Request("review", label, ask, starts)
