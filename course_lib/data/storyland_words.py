"""The words and sentences of Storyland; a small world takes the first of each list.

An underscore joins the words of one entry ("New_York"); a colon joins an entry to what belongs to
it ("Oslo:Norway", "baker:bakery").
"""

from __future__ import annotations


def _entries(text: str) -> list[str]:
    return [entry.replace("_", " ") for entry in text.split()]


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(left, right) for left, _, right in (e.partition(":") for e in _entries(text))]


# Some names are also cities: only the sentence tells Florence from Florence.
FEMALE_NAMES = _entries("""
Anna Maria Florence Sofia Emma Sydney Julia Clara Nina Laura Elena Victoria Alice Amelia Adelaide
Agnes Aisha Alma Amina Andrea Angela Anita Astrid Audrey Barbara Beatrice Bella Bianca Brigitte
Camille Carla Carmen Caroline Catherine Cecilia Charlotte Chloe Christina Claudia Cora Daniela
Daphne Deborah Diana Dora Edith Eleanor Elif Elisa Ella Eloise Elsa Emily Erica Esther Eva Fatima
Fiona Flora Frances Freya Gabriela Gemma Geneva Gloria Greta Hana Hannah Harriet Heidi Helen Ida
Ingrid Irene Isabel Jana Jane Janet Jessica Joanna Josephine Judith Karen Katrin Kimberly Lara
Leila Lena Linda Lisa Louise Lucia Lucy Lydia Madison Magda Margaret Marta Matilda Maya Mei Mila
Miriam Mona Monica Nadia Naomi Natalia Nora Olga Olivia Pamela Patricia Paula Petra Phoebe Priya
Yasmin Zara Zoe
""")
MALE_NAMES = _entries("""
Ben Tom Lincoln Leo Oscar Austin David Peter Hugo Samuel Paul Victor Adam Adrian Ahmed Alan Albert
Alexander Ali Anton Arjun Arthur Bernard Boris Bruno Carlos Charles Chester Christopher Claus Colin
Connor Cyril Dallas Daniel Dennis Diego Dmitri Dominic Douglas Edgar Edmund Edward Elias Emil Enzo
Eric Ernest Ethan Eugene Felix Fernando Francis Frederick Gabriel George Gerald Gilbert Gordon
Gregory Gustav Hans Harold Harry Hassan Hector Henry Herman Howard Ian Ibrahim Igor Isaac Ivan
Jackson Jacob James Jan Javier Jerome Joel John Jonas Joseph Juan Julian Jun Karim Karl Keith Kenji
Kevin Lars Laurence Liam Lorenzo Louis Lucas Luis Magnus Malik Marco Mario Martin Matthew
Michael Miguel Milan Mohamed Nathan Nils Noah Oliver Omar Otto Owen Pablo Patrick Pedro Santiago
""")
SURNAMES = _entries("""
Andersen Bauer Lancaster Bennett Bianchi Carter Chen Wellington Clark Cohen Costa Darwin Davies Diaz
Dubois Eriksen Evans Fischer Fontaine Garcia Gibson Gomez Hansen Harper Hoffman Hughes Ivanov Jensen
Johansson Johnson Jones Kaya Keller Khan Kowalski Kumar Larsen Laurent Lewis Lindberg Lopez Mancini
Martinez Meyer Miller Moreau Morgan Moretti Murphy Nakamura Nguyen Nielsen Novak Okafor Olsen Patel
Pereira Petrov Quinn Ramos Rivera Rossi Russo Santos Sato Schmidt Silva Singh Smith Suzuki Tanaka
Torres Vargas Wagner Walsh Watson Williams Wilson Yamamoto Zhang
""")

CITIES = _pairs("""
Oslo:Norway Florence:Italy Paris:France New_York:America Sydney:Australia Vienna:Austria
Madrid:Spain Cape_Town:South_Africa Lincoln:England Cairo:Egypt Lisbon:Portugal Tokyo:Japan
London:England Rome:Italy Berlin:Germany Athens:Greece Dublin:Ireland Warsaw:Poland Prague:Czechia
Budapest:Hungary Helsinki:Finland Stockholm:Sweden Copenhagen:Denmark Amsterdam:Holland
Brussels:Belgium Zurich:Switzerland Geneva:Switzerland Milan:Italy Venice:Italy Naples:Italy
Verona:Italy Barcelona:Spain Seville:Spain Valencia:Spain Porto:Portugal Lyon:France
Marseille:France Nice:France Bordeaux:France Hamburg:Germany Munich:Germany Dresden:Germany
Cologne:Germany Leipzig:Germany Salzburg:Austria Bergen:Norway Uppsala:Sweden Edinburgh:Scotland
Glasgow:Scotland Cardiff:Wales Belfast:Ireland Oxford:England Cambridge:England York:England
Lancaster:England Chester:England Bristol:England Liverpool:England Moscow:Russia Kiev:Ukraine
Odessa:Ukraine Riga:Latvia Vilnius:Lithuania Tallinn:Estonia Sofia:Bulgaria Bucharest:Romania
Belgrade:Serbia Zagreb:Croatia Istanbul:Turkey Ankara:Turkey Jerusalem:Israel Beirut:Lebanon
Damascus:Syria Baghdad:Iraq Tehran:Iran Delhi:India Mumbai:India Kolkata:India Lahore:Pakistan
Kathmandu:Nepal Colombo:Sri_Lanka Bangkok:Thailand Hanoi:Vietnam Jakarta:Indonesia Hong_Kong:China
Beijing:China Shanghai:China Seoul:Korea Kyoto:Japan
Osaka:Japan Melbourne:Australia Adelaide:Australia Perth:Australia Wellington:New_Zealand
Auckland:New_Zealand Nairobi:Kenya Lagos:Nigeria Accra:Ghana Dakar:Senegal Tunis:Tunisia
Casablanca:Morocco Toronto:Canada Montreal:Canada Victoria:Canada Boston:America Chicago:America
Austin:America Dallas:America Madison:America Charlotte:America San_Francisco:America
Los_Angeles:America Seattle:America Havana:Cuba Lima:Peru Bogota:Colombia Quito:Ecuador
Santiago:Chile Buenos_Aires:Argentina Montevideo:Uruguay Rio_de_Janeiro:Brazil
""")

JOBS = _pairs("""
baker:bakery doctor:hospital teacher:school farmer:farm artist:studio pilot:airport nurse:clinic
judge:court chef:kitchen librarian:library sailor:harbour engineer:factory accountant:bank
acrobat:circus announcer:radio_station apprentice:workshop archaeologist:museum architect:office
astronaut:space_centre astronomer:observatory athlete:stadium author:publishing_house
banker:bank barber:barbershop barista:cafe biologist:laboratory blacksmith:forge
bookseller:bookshop botanist:greenhouse brewer:brewery bricklayer:building_site broker:exchange
builder:building_site butcher:market butler:mansion captain:harbour caretaker:school
carpenter:workshop cashier:supermarket chemist:laboratory cleaner:hotel clerk:office
clown:circus coach:gymnasium cobbler:workshop composer:opera conductor:concert_hall cook:canteen
courier:depot dancer:opera decorator:studio dentist:clinic designer:studio detective:police_station
diplomat:embassy diver:harbour driver:depot economist:university editor:newspaper
electrician:power_station explorer:museum farmhand:farm fisher:harbour florist:flower_shop
forester:forest gardener:botanical_garden geologist:university glazier:workshop goldsmith:jewellery
guard:prison guide:museum hairdresser:salon historian:archive illustrator:studio
interpreter:embassy inventor:laboratory janitor:school jeweller:jewellery jockey:racecourse
journalist:newspaper juggler:circus lawyer:court lecturer:university lifeguard:beach
locksmith:workshop magician:theatre mathematician:university mayor:town_hall mechanic:garage
merchant:market midwife:hospital miller:mill miner:mine model:studio musician:concert_hall
novelist:library optician:clinic painter:gallery paramedic:hospital pharmacist:pharmacy
philosopher:university photographer:studio physicist:observatory pianist:concert_hall
plumber:building_site poet:library politician:parliament porter:hotel potter:pottery
printer:publishing_house professor:university programmer:office psychologist:clinic
publisher:publishing_house ranger:national_park receptionist:hotel reporter:newspaper
researcher:laboratory scientist:laboratory sculptor:gallery secretary:office shepherd:farm
singer:opera soldier:barracks statistician:office student:university surgeon:hospital
surveyor:town_hall tailor:workshop translator:publishing_house tutor:school veterinarian:zoo
violinist:concert_hall weaver:mill welder:shipyard writer:library zookeeper:zoo
""")

# Each word list is one kind of thing; sentences name the kind in braces.
WORDS = {
    "dwelling": _entries("""
        house cottage flat bungalow farmhouse apartment cabin villa houseboat attic mansion hut loft
        townhouse lighthouse caravan"""),
    "spot": _entries("""
        river park market bridge forest lake beach church fountain garden square station castle hill
        harbour meadow canal cemetery cinema crossroads field gate library mill monument mountain
        museum orchard pond playground pier quarry stadium stream swamp temple theatre tower
        tunnel valley vineyard village waterfall well windmill zoo"""),
    "vehicle": _entries("""
        bus train bicycle tram car boat taxi ferry scooter van motorbike canoe sledge carriage
        minibus ship"""),
    "subject": _entries("""
        history music biology law art physics chemistry medicine geography mathematics philosophy
        economics literature astronomy architecture engineering geology linguistics politics
        psychology statistics theology agriculture archaeology"""),
    "language": _entries("""
        French Spanish German Italian Latin Japanese Arabic Chinese Portuguese Russian Turkish Hindi
        Swahili Dutch Polish Danish Swedish Norwegian Finnish Greek Hebrew Korean Persian Thai"""),
    "food": _entries("""
        apples bread cheese soup rice fish cake chicken pasta salad pancakes tomatoes almonds
        apricots
        artichokes asparagus avocados bacon bagels bananas barley beans beef beetroot berries
        biscuits blackberries blueberries broccoli brownies buns butter cabbage carrots cashews
        cauliflower celery cereal cherries chestnuts chickpeas chips chocolate cinnamon coconuts
        cookies corn courgettes crab crackers cranberries cream crisps cucumbers curry custard dates
        doughnuts duck dumplings eggs falafel fennel figs fudge garlic ginger gingerbread grapefruit
        grapes halibut ham hazelnuts honey hummus jam jelly kale kebabs kiwis lamb lasagne leeks
        lemons lentils lettuce limes liquorice lobster macaroni mangoes marmalade marzipan melons
        meringues muesli muffins mushrooms mussels mustard noodles nougat oatmeal okra olives
        omelettes onions oranges oysters papayas parsley parsnips peaches peanuts pears peas peppers
        pickles pies pineapples pistachios pizza plums popcorn pork porridge potatoes prawns
        pretzels pudding pumpkins quinces radishes raisins raspberries ravioli rhubarb risotto
        salami salmon sandwiches sardines sausages sorbet spaghetti spinach stew strawberries sushi
        tacos toast toffee tofu trifle trout tuna turnips waffles walnuts watermelons yoghurt"""),
    "drink": _entries("""
        coffee tea milk water juice lemonade cocoa cider wine beer soda broth buttermilk espresso
        milkshakes punch smoothies sherry cappuccino champagne"""),
    "pet": _entries("""
        dog cat rabbit parrot hamster goldfish pony tortoise canary ferret goat spaniel poodle
        terrier kitten puppy gecko iguana guinea_pig budgerigar cockatoo greyhound collie dachshund
        retriever"""),
    "animal": _entries("""
        dog cat horse cow rabbit fox bear wolf sheep pig goose owl alligator ant antelope armadillo
        baboon badger bat beaver bee beetle bison boar buffalo bull butterfly camel caterpillar
        cheetah chicken chimpanzee chipmunk cobra cockerel coyote crab crane cricket crocodile crow
        deer dingo dolphin donkey dove dragonfly duck eagle eel elephant elk emu falcon flamingo
        frog gazelle giraffe gnat goat gorilla grasshopper gull hare hawk hedgehog hen heron
        hippopotamus hornet hyena ibex jackal jaguar kangaroo koala ladybird lamb lemur leopard
        lion lizard llama lobster lynx magpie meerkat mole mongoose monkey moose mosquito moth mouse
        mule newt octopus ostrich otter ox panda panther partridge peacock pelican penguin pheasant
        pigeon polecat porcupine possum puma python quail raccoon rat raven reindeer rhinoceros
        robin rooster salamander scorpion seal shark skunk sloth snail snake sparrow spider squid
        squirrel stork swan tadpole tiger toad turkey turtle viper vulture walrus warthog wasp
        weasel whale wombat woodpecker yak zebra"""),
    "colour": _entries("""
        red blue green yellow black white grey brown orange purple pink golden silver scarlet
        crimson turquoise violet beige ivory amber"""),
    "hobby": _entries("""
        reading painting swimming dancing gardening fishing cooking hiking knitting sailing singing
        cycling archery baking birdwatching bowling boxing camping canoeing carving climbing
        crocheting cross-stitching dressmaking drawing drumming embroidery fencing gaming gymnastics
        horse-riding ice-skating jogging juggling kayaking meditation origami parachuting
        photography pottery puzzles quilting rowing running sculpting sewing skateboarding
        sketching skiing skipping sledging snorkelling stargazing surfing travelling walking weaving
        whittling windsurfing woodwork wrestling yoga"""),
    "instrument": _entries("""
        piano guitar violin flute drums trumpet cello harp accordion bagpipes banjo bassoon bugle
        clarinet cornet double_bass harmonica harpsichord lute lyre mandolin oboe organ recorder
        saxophone sitar tambourine trombone tuba ukulele viola xylophone"""),
    "sport": _entries("""
        football tennis chess cricket hockey golf rugby badminton baseball basketball billiards
        cards croquet darts dominoes draughts handball lacrosse netball polo snooker softball
        squash volleyball"""),
    "garment": _entries("""
        coat hat scarf shirt jumper jacket dress cap raincoat waistcoat cardigan apron anorak belt
        blazer blouse bonnet bracelet brooch cape cloak corset hoodie kilt kimono necklace overcoat
        poncho pullover ribbon robe sari sash shawl skirt suit sweater tie top_hat tracksuit tunic
        turban uniform vest wig"""),
    "flower": _entries("""
        roses tulips daisies lilies sunflowers poppies orchids violets irises daffodils carnations
        lavender asters azaleas begonias bluebells buttercups camellias chrysanthemums crocuses
        dahlias foxgloves freesias gardenias geraniums hyacinths hydrangeas jasmine lilacs lupins
        marigolds pansies peonies petunias primroses snowdrops"""),
    "day": _entries("Monday Saturday Sunday Friday Tuesday Wednesday Thursday"),
    "month": _entries("""
        July May December April August October June September March January November February"""),
    "season": _entries("summer winter spring autumn"),
    "daypart": _entries("morning evening afternoon"),
    "room": _entries("""
        kitchen bedroom cellar hall bathroom study garage pantry nursery conservatory cupboard
        wardrobe drawer parlour shed"""),
    "object": _entries("""
        book key lamp kite coin letter umbrella clock map basket mirror ring anchor alarm_clock
        almanac abacus arrow axe backpack ball balloon barrel bead bell blanket bottle bowl box
        broom
        brush bucket button calculator calendar camera candle carpet chain chair chessboard comb
        compass crate crystal cup cushion diary dice doll drum egg_timer envelope eraser fan feather
        flag flashlight flute fork fossil globe hammer handbag handkerchief helmet hourglass
        inkwell jar jigsaw jug kettle knife ladder lantern lens locket magnet magnifying_glass
        marble mask matchbox medal microphone microscope mug nail napkin needle notebook oar paddle
        padlock painting pan parcel pebble pen pencil photograph pillow pipe pitcher plate
        pocketknife postcard pot puppet purse puzzle quill racket radio razor rope ruler sack saddle
        saucer saw scarecrow scroll shell shoe shovel sieve sketch skull spade spoon stamp statue
        stick stone stool suitcase sundial sword table teapot telescope tent thermometer thimble
        ticket toolbox torch towel toy trophy trunk typewriter urn vase violin walking_stick wallet
        watch whistle yo-yo"""),
    "acquaintance": _entries("""
        man woman boy girl farmer shepherd sailor soldier hunter stranger traveller thief pirate
        beggar clown giant knight dwarf monk nun robber merchant"""),
}

MOODS = {
    "positive": _entries("""
        happy proud calm glad cheerful pleased hopeful excited thankful relaxed joyful brave amused
        appreciated blissful carefree comfortable confident content delighted eager ecstatic elated
        encouraged energetic enthusiastic euphoric exhilarated fascinated festive fortunate
        fulfilled grateful inspired jolly jubilant light-hearted lively loved lucky merry motivated
        optimistic overjoyed peaceful playful reassured refreshed relieved rested satisfied secure
        serene sunny thrilled tranquil triumphant upbeat"""),
    "negative": _entries("""
        sad angry worried tired lonely bored afraid upset nervous jealous ashamed gloomy agitated
        annoyed anxious bitter bewildered bothered cross dejected depressed desperate disappointed
        discouraged disgusted dismayed distressed embarrassed enraged envious exhausted fearful
        frightened frustrated furious grumpy guilty heartbroken helpless homesick hopeless horrified
        humiliated hurt insecure insulted irritated melancholy miserable moody offended outraged
        overwhelmed pessimistic resentful restless terrified weary"""),
}

# Past tense and participle are the same word, so that "the dog chased the man" also turns into
# "the man was chased by the dog".
VERBS = {
    "helped": _entries("""
        helped rescued guided comforted praised welcomed protected visited greeted entertained
        warned advised defended healed nursed invited cheered freed"""),
    "thanked": _entries("thanked hugged trusted smiled_at bowed_to"),
    "chased": _entries("""
        chased followed pushed scared attacked watched tricked teased ignored stopped startled
        kicked pestered surprised tackled mocked trapped hunted"""),
    "fled": _entries("""
        ran_away_from escaped_from hid_from shouted_at complained_about turned_away_from"""),
    "found": _entries("found bought discovered received won borrowed"),
}

# Male word, female word, where they live, and what they do there.
ROLES = [
    (
        "king",
        "queen",
        "palace",
        ["wears {his} crown", "rules {his} kingdom", "sits on {his} throne", "changes {his} laws"],
    ),
    (
        "man",
        "woman",
        "neighbourhood",
        ["locks {his} door", "pays {his} bills", "empties {his} mailbox", "parks {his} car"],
    ),
    (
        "boy",
        "girl",
        "treehouse",
        ["throws {his} ball", "does {his} homework", "climbs {his} tree", "shares {his} sweets"],
    ),
    (
        "father",
        "mother",
        "family house",
        [
            "feeds {his} baby",
            "dresses {his} children",
            "packs {his} lunchbox",
            "sings {his} lullaby",
        ],
    ),
    (
        "prince",
        "princess",
        "castle",
        ["rides {his} pony", "practises {his} manners", "waves {his} banner", "obeys {his} tutor"],
    ),
    (
        "actor",
        "actress",
        "theatre",
        [
            "learns {his} lines",
            "enters {his} stage",
            "thrills {his} audience",
            "rehearses {his} role",
        ],
    ),
    (
        "uncle",
        "aunt",
        "countryside",
        ["brings {his} presents", "tells {his} jokes", "drives {his} tractor", "shows {his} album"],
    ),
    (
        "son",
        "daughter",
        "homestead",
        ["tidies {his} bedroom", "hugs {his} parents", "loses {his} mittens", "hides {his} report"],
    ),
    (
        "brother",
        "sister",
        "lodge",
        [
            "borrows {his} bicycle",
            "copies {his} siblings",
            "guards {his} secrets",
            "swaps {his} stickers",
        ],
    ),
    (
        "waiter",
        "waitress",
        "restaurant",
        ["balances {his} tray", "counts {his} tips", "serves {his} diners", "folds {his} napkins"],
    ),
    (
        "wizard",
        "witch",
        "tower",
        ["stirs {his} cauldron", "casts {his} spells", "lifts {his} wand", "summons {his} spirits"],
    ),
    (
        "husband",
        "wife",
        "suburb",
        [
            "plans {his} anniversary",
            "kisses {his} spouse",
            "remembers {his} wedding",
            "saves {his} marriage",
        ],
    ),
    (
        "grandfather",
        "grandmother",
        "nursing home",
        [
            "rocks {his} armchair",
            "polishes {his} spectacles",
            "recalls {his} youth",
            "spoils {his} grandchildren",
        ],
    ),
    (
        "emperor",
        "empress",
        "citadel",
        [
            "expands {his} empire",
            "reviews {his} legions",
            "rewards {his} generals",
            "conquers {his} rivals",
        ],
    ),
    (
        "duke",
        "duchess",
        "manor",
        [
            "inspects {his} estate",
            "dismisses {his} servants",
            "breeds {his} hounds",
            "taxes {his} tenants",
        ],
    ),
    (
        "count",
        "countess",
        "chateau",
        [
            "opens {his} ballroom",
            "tastes {his} vintage",
            "gambles {his} inheritance",
            "displays {his} portraits",
        ],
    ),
    (
        "nephew",
        "niece",
        "boarding school",
        [
            "mails {his} postcards",
            "passes {his} exams",
            "spends {his} allowance",
            "joins {his} classmates",
        ],
    ),
    (
        "hero",
        "heroine",
        "battlefield",
        [
            "raises {his} shield",
            "slays {his} dragon",
            "draws {his} blade",
            "saddles {his} stallion",
        ],
    ),
    (
        "host",
        "hostess",
        "ballroom",
        [
            "seats {his} guests",
            "lights {his} candles",
            "pours {his} cocktails",
            "sends {his} invitations",
        ],
    ),
    (
        "landlord",
        "landlady",
        "inn",
        ["collects {his} rent", "repairs {his} roof", "evicts {his} lodgers", "mops {his} stairs"],
    ),
    (
        "steward",
        "stewardess",
        "cabin",
        [
            "checks {his} passengers",
            "pushes {his} trolley",
            "fastens {his} seatbelt",
            "boards {his} flight",
        ],
    ),
    (
        "policeman",
        "policewoman",
        "station",
        [
            "blows {his} whistle",
            "arrests {his} suspect",
            "patrols {his} district",
            "questions {his} witness",
        ],
    ),
    (
        "salesman",
        "saleswoman",
        "showroom",
        [
            "praises {his} products",
            "lowers {his} prices",
            "persuades {his} customers",
            "signs {his} contracts",
        ],
    ),
    (
        "heir",
        "heiress",
        "penthouse",
        [
            "inherits {his} fortune",
            "hires {his} lawyers",
            "insures {his} diamonds",
            "contests {his} testament",
        ],
    ),
    (
        "groom",
        "bride",
        "chapel",
        [
            "exchanges {his} vows",
            "cuts {his} cake",
            "awaits {his} honeymoon",
            "greets {his} in-laws",
        ],
    ),
    (
        "god",
        "goddess",
        "shrine",
        [
            "hurls {his} thunder",
            "blesses {his} worshippers",
            "accepts {his} sacrifice",
            "floods {his} valleys",
        ],
    ),
]

# What is said of a person, in this order, each topic at most once in a story. {he} is "he", "she"
# or the name; {a kind} puts the right article before a word of that kind.
INTRODUCTIONS = [
    "{full} is {a job} from {home} .",
    "{full} lives in {home} and works as {a job} .",
    "in {home} , {country} , lives {a job} called {full} .",
]
TOPICS = [
    [
        "{he} lives in {a dwelling} near the {spot} in {home} .",
        "{his} home in {home} is {a dwelling} near the {spot} .",
    ],
    [
        "{he} goes to the {workplace} by {vehicle} every {day} .",
        "every {day} {he} takes the {vehicle} to the {workplace} .",
    ],
    [
        "{he} studied {subject} in {trip} and speaks {language} .",
        "{he} learned {language} while studying {subject} in {trip} .",
    ],
    [
        "{his} {sibling term} {sibling} is {a sibling job} in {sibling home} .",
        "{he} is the {term} of {sibling} , {a sibling job} from {sibling home} .",
    ],
    [
        "{he} likes {food} but hates {disliked} .",
        "{he} often eats {food} and drinks {drink} in the {daypart} .",
        "{his} favourite food is {food} .",
    ],
    ["{he} has {a pet} and gives it {food} .", "{his} pet is {a pet} that sleeps in the {room} ."],
    ["in {season} , {he} enjoys {hobby} .", "{he} loves {hobby} in the {daypart} ."],
    [
        "{he} plays the {instrument} every {day} .",
        "{friend} plays {sport} with {him} every {day} .",
        "{he} plays {sport} with {friend} every {day} .",
    ],
    ["{he} wears {a colour} {garment} on {day} .", "{his} {garment} is {colour} ."],
    ["{he} grows {flower} in {his} garden .", "{his} garden is full of {flower} in {month} ."],
    [
        "{he} travelled to {trip} by {vehicle} in {month} .",
        "in {month} , {he} saw {a animal} near {trip} .",
    ],
    [
        "{his} friend {friend} is {a friend job} in {friend home} .",
        "{he} often visits {friend} , {a friend job} from {friend home} .",
    ],
]
ROLE_INTRODUCTIONS = [
    "there is {a role} in the {place} .",
    "in the {place} there is {a role} .",
]
ROLE_SENTENCES = [
    "every {daypart} , the {role} {does} .",
    "the {role} {himself} {does} .",
    "{pronoun} {does} {himself} .",
    "{pronoun} {does} .",
]
# A thing found early in a life comes back later. The first sentence is split where it stands.
EVENT = ("one day , {he} {found}", "near the {spot} .")
KEEPSAKES = [
    "still has the {object} .",
    "keeps the {object} in the {room} .",
    "never lost the {object} again .",
    "gave the {object} away .",
]
# Who acts, and the deed, the answer, and the answer if pronouns can tell the two apart.
MEETINGS = {
    "name": (
        "later , {name} {helped} {friend} .",
        "{friend} {thanked} {name} .",
        "{friend pronoun} {thanked} {him} .",
    ),
    "friend": (
        "later , {friend} {helped} {name} .",
        "{name} {thanked} {friend} .",
        "{pronoun} {thanked} {friend him} .",
    ),
}
# What follows "the dog": the deed, and after the second actor's name, the answer of whoever it was
# done to.
ENCOUNTERS = [
    ("{chased} the", "near the {spot} . the {two} {fled} the {one} ."),
    ("{helped} the", "near the {spot} . the {two} {thanked} the {one} ."),
]
PASSIVE_ENCOUNTERS = [
    ("was {chased} by the", "near the {spot} . the {one} {fled} the {two} ."),
    ("was {helped} by the", "near the {spot} . the {one} {thanked} the {two} ."),
]
ENDINGS = [
    "in the end , {he} {was} {mood} .",
    "{he} {was} {mood} .",
    "at night , {he} {was} {mood} .",
]
NEGATED_MOODS = [
    "not {opposite} but {mood}",
    "{mood} , not {opposite}",
    "{mood} rather than {opposite}",
]
