"""Convert a published ImageNet ResNet-50 (torchvision's names, float16 or float32) to the file that initialises backbone and tails.

    python tools/model_converters/imagenet_resnet50.py resnet50_caffe_imagenet_fp16.pth weights/resnet50_caffe.pth --preset caffe

Presets: 'caffe' expects BGR images minus (103.939, 116.779, 123.68) and style='caffe' of backbone and tails, 'torchvision' RGB images
normalised by mean and std and style='pytorch'. Fails if a key of the published file is missing or unexpected.
"""

from mmlabelpenet.models.weights import convert_imagenet
from mmlabelpenet.options import Parser
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument('source', help='published file, URL or torchvision://resnet50')
    parser.add_argument('target', help='file to write')
    parser.add_argument('--preset', required=True, choices=['caffe', 'torchvision'])
    args = parser.parse_args()
    state = convert_imagenet(args.source, args.target, 'resnet50', args.preset)
    say(f'{args.target}: {counted(len(state), "tensor")} of resnet50, preset {args.preset!r}')


if __name__ == '__main__':
    run(main)
