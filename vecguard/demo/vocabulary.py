"""Words for the synthetic notes: people, places, and per department what a patient may have, feel, take and undergo.

Every person is invented by combining common given names and surnames; e-mail domains are reserved for examples
(RFC 2606) and telephone numbers lie in the range kept for fiction (555-0100 to 555-0199).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Department:
    """One clinic. `treatments` maps each diagnosis to the medicines given for it there."""

    name: str
    clinician: str
    treatments: dict[str, tuple[str, ...]]
    symptoms: tuple[str, ...]
    tests: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


WOMEN = _words(
    "Anna Maria Elena Fatima Grace Hannah Ingrid Julia Katarina Leila Mei Nadia Olivia Priya Rosa Sofia Teresa Ursula "
    "Valentina Wanda Yasmin Zoe Amelia Beatrice Carmen Dorothy Esther Freya Greta Helen Irene Josephine Keiko Laura "
    "Miriam Nora Paula Ruth Sarah Tamara Veronica Agnes Bridget Charlotte Diana Emily Gloria Isabel Joanna Lucia"
    " Margaret Naomi Petra Simone Svetlana Aisha Chiara Linnea Noor Saoirse"
)
MEN = _words(
    "Adam Boris Carlos Daniel Emil Felix George Hassan Ivan Jakob Kevin Liam Marco Nikolai Oscar Pavel Quentin Rafael "
    "Stefan Thomas Umberto Victor Walter Xavier Yusuf Andre Benjamin Christopher David Edward Francis Gustav Henry "
    "Ibrahim James Kenji Leonard Martin Nathan Oliver Patrick Robert Samuel Timothy Vincent William Ahmed Bruno Cyril"
    " Dmitri Ethan Fabian Giovanni Hugo Kwame Mateo Rashid Sanjay Tobias Wei"
)
SURNAMES = _words(
    "Abbott Adeyemi Alvarez Andersson Bauer Becker Bianchi Blake Brennan Campbell Carter Castillo Chen Clarke Cohen "
    "Costa Dalton Diaz Dubois Edwards Eriksen Farrell Fischer Fleming Fontaine Foster Fraser Gallagher Garcia Gibson "
    "Goldberg Gupta Haddad Hansen Harper Hashimoto Hayes Hoffmann Holloway Hughes Hussain Ibsen Ivanov Jensen Johansson"
    " Kaminski Karlsson Keller Kelly Khan Kimura Kowalski Kruger Lambert Larsen Lehmann Lindqvist Lopez Mahmoud Marino "
    "Marshall Mbeki Mendoza Meyer Mitchell Moreau Morgan Murphy Nakamura Nguyen Nielsen Novak Okafor Olsen Ortega "
    "Osborne Park Patel Pereira Petrov Popescu Quinn Ramirez Reyes Richter Rossi Rousseau Russo Sanders Santos Schmidt "
    "Schneider Sharma Silva Singh Sokolov Sorensen Stewart Sullivan Suzuki Takahashi Tanaka Torres Tran Turner Vargas "
    "Vasquez Vogel Wagner Walsh Watanabe Weber Whitfield Winters Wong Yamamoto Yilmaz Zhang Zimmermann"
)
MAIL_DOMAINS = (
    "example.com",
    "example.org",
    "example.net",
    "mail.example.com",
    "post.example.org",
    "home.example.net",
)

OCCUPATIONS = _phrases(
    "teacher,bus driver,nurse,software engineer,carpenter,baker,accountant,farmer,police officer,judge,waiter,"
    "hairdresser,pilot,pharmacist,journalist,plumber,librarian,electrician,soldier,musician,chef,student,cleaner,"
    "bank manager,dentist,mayor,welder,translator,architect,fisherman"
)
CITIES = _phrases(
    "Springfield,Riverton,Lakewood,Ashford,Milton,Georgetown,Fairview,Clinton,Greenville,Bristol,Salem,Dover,Oxford,"
    "Arlington,Burlington,Kingston,Newport,Auburn,Dayton,Hudson"
)
RELATIVES = ("wife", "husband", "daughter", "son", "mother", "brother", "sister", "neighbour", "father", "partner")
HABITS = _phrases(
    "smokes a pack a day,drinks a bottle of wine most evenings,quit smoking last spring,uses cannabis to sleep,"
    "takes no exercise,swims twice a week,skips breakfast,is a strict vegetarian,gambles heavily,sleeps four hours,"
    "drinks energy drinks all day,misses doses at weekends"
)
ALLERGIES = ("penicillin", "latex", "shellfish", "sulfa drugs", "peanuts", "aspirin", "iodine", "codeine", "bee stings")
WORRIES = _phrases(
    "losing the job,the divorce,mounting debts,a custody hearing,being deported,eviction from the flat,"
    "the employer finding out,passing it to the children,surgery,the cost of the medicine,driving again,"
    "telling the family"
)
WHEN = _phrases(
    "tomorrow,on Monday,on Friday,in two weeks,in a month,in six weeks,in three months,next Tuesday,after the holidays,"
    "at the end of the week"
)
SINCE = _phrases("yesterday,last night,Sunday,Christmas,the winter,a fall at home,the last visit,a holiday abroad")
INSURERS = ("Northgate Mutual", "Unity Health", "Beacon Life", "Silverline", "Harbour Care", "Crown Medical")

DEPARTMENTS = (
    Department(
        "cardiology",
        "cardiologist",
        {
            "atrial fibrillation": ("apixaban", "bisoprolol"),
            "heart failure": ("furosemide", "carvedilol"),
            "angina": ("nitroglycerin", "metoprolol"),
            "hypertension": ("amlodipine", "lisinopril"),
            "aortic stenosis": ("ramipril", "torasemide"),
        },
        ("chest pain", "palpitations", "swollen ankles", "shortness of breath", "fainting"),
        ("an echocardiogram", "a stress test", "an angiogram", "a Holter recording"),
    ),
    Department(
        "oncology",
        "oncologist",
        {
            "breast cancer": ("tamoxifen", "paclitaxel"),
            "prostate cancer": ("bicalutamide", "leuprolide"),
            "lymphoma": ("rituximab", "vincristine"),
            "leukemia": ("imatinib", "cytarabine"),
            "melanoma": ("nivolumab", "dabrafenib"),
            "lung cancer": ("cisplatin", "osimertinib"),
        },
        ("weight loss", "night sweats", "a new lump", "exhaustion", "hair loss"),
        ("a biopsy", "a PET scan", "a bone marrow sample", "a mammogram"),
    ),
    Department(
        "psychiatry",
        "psychiatrist",
        {
            "major depression": ("sertraline", "venlafaxine"),
            "bipolar disorder": ("lithium", "valproate"),
            "schizophrenia": ("olanzapine", "clozapine"),
            "panic disorder": ("paroxetine", "lorazepam"),
            "anorexia": ("mirtazapine", "fluoxetine"),
            "alcohol dependence": ("naltrexone", "disulfiram"),
        },
        ("insomnia", "hopelessness", "hearing voices", "panic attacks", "thoughts of suicide"),
        ("a risk assessment", "a cognitive interview", "a sleep diary", "a family meeting"),
    ),
    Department(
        "neurology",
        "neurologist",
        {
            "epilepsy": ("levetiracetam", "lamotrigine"),
            "multiple sclerosis": ("ocrelizumab", "baclofen"),
            "migraine": ("sumatriptan", "topiramate"),
            "parkinson disease": ("levodopa", "rasagiline"),
            "dementia": ("donepezil", "memantine"),
        },
        ("a seizure", "numb fingers", "tremor", "double vision", "memory loss", "headaches"),
        ("an EEG", "a brain MRI", "a lumbar puncture", "nerve conduction studies"),
    ),
    Department(
        "endocrinology",
        "endocrinologist",
        {
            "type 2 diabetes": ("metformin", "semaglutide"),
            "type 1 diabetes": ("insulin glargine", "insulin lispro"),
            "hypothyroidism": ("levothyroxine", "liothyronine"),
            "cushing syndrome": ("ketoconazole", "metyrapone"),
            "obesity": ("liraglutide", "orlistat"),
        },
        ("constant thirst", "weight gain", "fatigue", "feeling cold", "dizzy spells"),
        ("an HbA1c", "a thyroid panel", "a cortisol test", "a glucose tolerance test"),
    ),
    Department(
        "infectious diseases",
        "infectiologist",
        {
            "hiv infection": ("dolutegravir", "tenofovir"),
            "hepatitis C": ("sofosbuvir", "ribavirin"),
            "tuberculosis": ("isoniazid", "rifampicin"),
            "syphilis": ("benzathine penicillin", "doxycycline"),
            "malaria": ("artesunate", "atovaquone"),
        },
        ("fever", "a rash", "swollen glands", "a persistent cough", "chills"),
        ("a viral load", "a sputum culture", "contact tracing", "a blood smear"),
    ),
    Department(
        "pulmonology",
        "pulmonologist",
        {
            "asthma": ("salbutamol", "budesonide"),
            "emphysema": ("tiotropium", "roflumilast"),
            "pneumonia": ("amoxicillin", "azithromycin"),
            "sleep apnea": ("modafinil", "acetazolamide"),
        },
        ("wheezing", "coughing blood", "a dry cough", "loud snoring", "breathlessness at night"),
        ("spirometry", "a chest x-ray", "a sleep study", "a bronchoscopy"),
    ),
    Department(
        "gastroenterology",
        "gastroenterologist",
        {
            "crohn disease": ("infliximab", "azathioprine"),
            "ulcerative colitis": ("mesalazine", "vedolizumab"),
            "celiac disease": ("folic acid", "iron tablets"),
            "liver cirrhosis": ("lactulose", "spironolactone"),
            "gastric ulcer": ("omeprazole", "sucralfate"),
        },
        ("bloody stools", "heartburn", "stomach cramps", "vomiting", "yellow eyes"),
        ("a colonoscopy", "a gastroscopy", "a liver ultrasound", "a stool sample"),
    ),
    Department(
        "rheumatology",
        "rheumatologist",
        {
            "rheumatoid arthritis": ("methotrexate", "adalimumab"),
            "lupus": ("hydroxychloroquine", "belimumab"),
            "gout": ("allopurinol", "colchicine"),
            "osteoporosis": ("alendronate", "denosumab"),
        },
        ("stiff hands", "joint pain", "a swollen toe", "back pain", "a facial rash"),
        ("a bone density scan", "an antibody panel", "a joint aspiration", "a hand x-ray"),
    ),
    Department(
        "gynecology",
        "gynecologist",
        {
            "endometriosis": ("dienogest", "norethisterone"),
            "infertility": ("clomiphene", "letrozole"),
            "miscarriage": ("misoprostol", "progesterone"),
            "polycystic ovaries": ("drospirenone", "cyproterone"),
        },
        ("pelvic pain", "heavy bleeding", "missed periods", "hot flushes", "morning sickness"),
        ("a pelvic ultrasound", "a smear test", "a laparoscopy", "a hormone profile"),
    ),
    Department(
        "nephrology",
        "nephrologist",
        {
            "chronic kidney disease": ("sevelamer", "calcitriol"),
            "kidney stones": ("tamsulosin", "potassium citrate"),
            "nephrotic syndrome": ("prednisolone", "cyclosporine"),
            "polycystic kidneys": ("tolvaptan", "losartan"),
        },
        ("foamy urine", "flank pain", "swollen eyelids", "blood in the urine", "itching"),
        ("a renal biopsy", "a creatinine clearance", "a dialysis review", "a kidney ultrasound"),
    ),
    Department(
        "dermatology",
        "dermatologist",
        {
            "psoriasis": ("calcipotriol", "secukinumab"),
            "eczema": ("dupilumab", "tacrolimus"),
            "rosacea": ("ivermectin", "metronidazole"),
            "shingles": ("valacyclovir", "pregabalin"),
        },
        ("scaly elbows", "a burning rash", "itchy skin", "blisters", "flushed cheeks"),
        ("a skin biopsy", "patch testing", "light therapy", "a mole check"),
    ),
)
