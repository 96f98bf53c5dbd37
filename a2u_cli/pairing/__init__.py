"""Find a folder's pictures and what belongs to each: its trimap, a mask, its matte or its truth.

One rule for all commands; docs/folders.md and docs/scoring.md state it in words.
"""

from .folder import Pair as Pair
from .folder import Pairs as Pairs
from .folder import Results as Results
from .folder import find_alone as find_alone
from .folder import find_masks as find_masks
from .folder import find_mattes as find_mattes
from .folder import find_pairs as find_pairs
from .matching import by_picture as by_picture
from .matching import index as index
from .matching import list_places as list_places
from .matching import match as match
from .roles import IMAGE_FOLDERS as IMAGE_FOLDERS
from .roles import MATTE_ROLES as MATTE_ROLES
from .roles import ROLE_FOLDERS as ROLE_FOLDERS
from .roles import ROLES as ROLES
from .roles import TRIMAP_FOLDERS as TRIMAP_FOLDERS
from .roles import TRIMAP_ROLES as TRIMAP_ROLES
from .roles import TRUTH_FOLDERS as TRUTH_FOLDERS
from .roles import first_folder as first_folder
from .roles import folder_above as folder_above
