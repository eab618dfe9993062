"""Convert a published ImageNet VGG-16 to the file that initialises the backbone and every stage's conv5, fc6 and fc7.

    python tools/model_converters/imagenet_vgg16.py vgg16-397923af.pth weights/vgg16_torchvision.pth --preset torchvision

Presets: 'caffe' expects BGR images minus (102.98, 115.95, 122.77), 'torchvision' RGB images normalised by mean and std.
Fails if a key of the published file is missing or unexpected.
"""

from mmlabelpenet.models.weights import convert_imagenet
from mmlabelpenet.options import Parser
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument('source', help='published file, URL or torchvision://vgg16')
    parser.add_argument('target', help='file to write')
    parser.add_argument('--preset', required=True, choices=['caffe', 'torchvision'])
    args = parser.parse_args()
    state = convert_imagenet(args.source, args.target, 'vgg16', args.preset)
    say(f'{args.target}: {counted(len(state), "tensor")} of vgg16, preset {args.preset!r}')


if __name__ == '__main__':
    run(main)
